r"""Formulas: `$…$`, `$$…$$`, `\(…\)` and `\[…\]` in markdown, as MathML.

A formula that cannot be converted is shown as source. One on separate lines is parsed before lists
and headings, whose marks can begin its lines. As in TeX, no formula extends beyond a blank line, so
that none can change finished blocks of a growing text (see incremental_markdown.py).
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, tostring

from django.utils.html import escape

from agents_app.web.rendering.render_state import RenderState, token_rule

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

# How many children a browser expects in these elements.
_PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2}
_PARTS |= {"msubsup": 3, "munderover": 3}
MATHML_TAGS = {"math", "mrow", "mi", "mn", "mo", "ms", "mtext", "mspace", "mstyle", "mpadded"}
MATHML_TAGS |= {"mphantom", "msqrt", "mtable", "mtr", "mtd", "menclose", *_PARTS}
MATHML_ATTRIBUTES = {"accent", "columnalign", "depth", "display", "displaystyle", "fence", "form"}
MATHML_ATTRIBUTES |= {"height", "linethickness", "lspace", "mathvariant", "maxsize", "minsize"}
MATHML_ATTRIBUTES |= {"movablelimits", "notation", "rspace", "scriptlevel", "separator"}
MATHML_ATTRIBUTES |= {"stretchy", "voffset", "width"}
# Words, and lengths too short to move a part of a formula elsewhere on the page.
MATHML_VALUE = re.compile(r"[a-z-]{1,30}|[+-]?[0-9]?(?:\.[0-9]{1,4})?(?:em|ex|px|pt)?")

MAX_FORMULA = 2_000  # characters, which take up to 40 ms; a longer formula is shown as source
_LONGEST = 20_000  # characters between delimiters
_MAX_DEPTH = 40  # of braces and the like; the library is recursive
_CLOSING = {"$$": "$$", r"\[": r"\]", r"\(": r"\)"}
_DISPLAY = ("$$", r"\[")
# The dollar sign of a price or a shell variable has a blank on its inner side, or a letter or a
# digit on its outer side.
_DOLLARS = re.compile(r"(?<![\w$])\$(?![\s$])(?:[^\\$]|\\.)+(?<!\s)\$(?![\w$])", re.DOTALL)
_ENTITY = re.compile(r"&#x([0-9A-Fa-f]{2,6});")
# What the library writes as letters because it does not know it. The symbols that it knows become
# entities.
_UNREAD = re.compile(r"\\.|&(?!#x)|[{}$]")
_ENVIRONMENTS = re.compile(r"\\(begin|end)\{(?:aligned|split|align|eqnarray\*?)\}")
_CENTERED = re.compile(r"\\(begin|end)\{(?:gathered|gather\*?)\}")


def add_formulas(parser: "MarkdownIt") -> None:
    """Teach the parser to read and to render formulas."""
    may_interrupt = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "formula", _block, {"alt": may_interrupt})
    parser.inline.ruler.before("escape", "formula", _inline)
    parser.add_render_rule("formula", token_rule(_render))
    parser.add_render_rule("formula_block", token_rule(_render_block))


def _inline(state: "StateInline", silent: bool) -> bool:
    start, opening = state.pos, state.src[state.pos : state.pos + 2]
    if closing := _CLOSING.get(opening):
        last = min(start + 2 + _LONGEST, state.posMax)
        end = state.src.find(closing, start + 2, last) + 2
    elif opening.startswith("$"):
        match = _DOLLARS.match(state.src, start, state.posMax)
        end = match.end() if match else 0
    else:
        return False
    if not state.src[start:end].strip("$\\()[] \n"):
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content = state.src[start:end]
    state.pos = end
    return True


def _block(state: "StateBlock", first: int, end: int, silent: bool) -> bool:
    if state.is_code_block(first):
        return False
    start = state.bMarks[first] + state.tShift[first]
    opening = state.src[start : start + 2]
    if opening not in _DISPLAY:
        return False
    closing = _CLOSING[opening]
    # A quick check: the end of an unclosed formula would be sought from each line of a paragraph.
    if state.src.find(closing, start + 2, start + 2 + _LONGEST) < 0:
        return False
    lines: list[str] = []
    for line in range(first, end):
        text = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip()
        if not text or (line > first and state.sCount[line] < state.blkIndent):
            return False
        lines.append(text)
        rest = text[2:] if line == first else text
        if closing in rest:
            break
    else:
        return False
    content = "\n".join(lines)[2:-2]
    if not rest.endswith(closing) or closing in content or not content.strip():
        return False
    if not silent:
        token = state.push("formula_block", "math", 0)
        token.block = True
        token.content = "\n".join(lines)
        token.map = [first, line + 1]
        state.line = line + 1
    return True


def _render(token: "Token", state: RenderState) -> str:
    source = token.content
    is_display = source.startswith(_DISPLAY)
    tex = source[1:-1] if source[0] == "$" and not is_display else source[2:-2]
    html = _mathml(tex, is_display) or f'<code class="formula-source">{escape(source)}</code>'
    if not is_display:
        return html
    number = state.next_number("formula")
    # It can be wider than the page, and needs focus to be scrolled by keyboard.
    attributes = f'class="formula" role="group" tabindex="0" aria-label="Formula {number}"'
    return f"<span {attributes}>{html}</span>"


def _render_block(token: "Token", state: RenderState) -> str:
    return f"<p>{_render(token, state)}</p>\n"


# Kept, because an open paragraph is rendered again with every piece of text.
@lru_cache(maxsize=256)
def _mathml(tex: str, is_display: bool) -> str | None:
    """The formula as MathML, or None if it cannot be converted."""
    if len(tex) > MAX_FORMULA or _depth(tex) > _MAX_DEPTH:
        return None
    from latex2mathml.converter import Converter

    tex = _ENVIRONMENTS.sub(r"\\\1{align*}", tex)
    tex = _CENTERED.sub(r"\\\1{matrix}", tex)
    try:
        math = Converter(display="block" if is_display else "inline").convert_to_element(tex)
    except Exception:  # it raises many kinds of errors, IndexError and KeyError among them
        return None
    if any(_UNREAD.match(element.text or "") for element in math.iter("mi")):
        return None
    if any(len(element) != _PARTS.get(element.tag, len(element)) for element in math.iter()):
        return None
    for element in math.iter():
        _decode_entities(element)
    _space_functions(math)
    return tostring(math, encoding="unicode", short_empty_elements=False)


def _depth(tex: str) -> int:
    """How deeply the formula is nested. Python's limit would depend on the caller's own depth."""
    depth = deepest = 0
    for mark in re.finditer(r"\\.|[{}]", tex):
        depth += {"{": 1, "}": -1}.get(mark[0], 0)
        deepest = max(deepest, depth)
    return deepest


def _decode_entities(element: Element) -> None:
    """Decode the library's own entities; everything else in the text is text."""
    if element.text:
        element.text = _ENTITY.sub(lambda entity: chr(int(entity[1], 16)), element.text)


def _space_functions(math: Element) -> None:
    """Set the names of functions off from letters and numbers beside them, as TeX does."""
    for row in list(math.iter()):
        if row.tag in _PARTS:
            continue
        for index in range(len(row) - 1, 0, -1):
            pair = row[index - 1], row[index]
            has_space = any(element.tag in {"mo", "mspace"} for element in pair)
            if not has_space and any(map(_is_function, pair)):
                row.insert(index, Element("mspace", {"width": "0.17em"}))


def _is_function(element: Element) -> bool:
    """Whether it is a name such as sin or log, which may have an index or an exponent."""
    name = element[0] if element.tag in {"msub", "msup", "msubsup"} else element
    return name.tag == "mi" and len(name.text or "") > 1
