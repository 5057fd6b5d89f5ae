"""Code blocks: a frame with the language's name and a Copy button, and highlighted code.

The page's script wires the button. A block that is still being written has the same frame, but no
colours, which its last line could change.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from django.utils.html import escape

from agents_app.web.rendering.render_state import RenderState

if TYPE_CHECKING:
    from markdown_it.token import Token

HIGHLIGHT_CLASSES = {"comment", "keyword", "string", "number", "function", "type", "name"}
HIGHLIGHT_CLASSES |= {"meta", "inserted", "deleted"}
# Longer code, or code that nobody would write, is shown without colours: lexers take quadratic time
# for some of it, and those named here cubic time for prose.
_MAX_LENGTH = 10_000
_MAX_LENGTH_OF = dict.fromkeys(["c#", "cs", "csharp", "groovy", "java"], 3_000)
_MAX_LINE = 500
_MAX_BLANK = re.compile(r"\s{200}")
_LANGUAGE = re.compile(r"[\w+#.-]{1,40}")
# The library has 500 more lexers, few of which have been tested with adversarial text.
_HIGHLIGHTED = {
    *("asm", "bash", "c", "c#", "c++", "clj", "clojure", "cmake", "console", "cpp", "cs"),
    *("csharp", "css", "dart", "diff", "docker", "dockerfile", "elixir", "erlang", "ex", "fsharp"),
    *("go", "golang", "gql", "graphql", "groovy", "haskell", "hcl", "hs", "html", "http", "ini"),
    *("java", "javascript", "jinja", "jl", "js", "json", "jsx", "julia", "kotlin", "kt", "latex"),
    *("less", "lisp", "lua", "make", "makefile", "matlab", "mysql", "nginx", "nix", "objective-c"),
    *("objc", "ocaml", "patch", "perl", "php", "pl", "plpgsql", "postgresql", "powershell"),
    *("proto", "protobuf", "ps1", "py", "pycon", "python", "python3", "r", "rb", "rs", "ruby"),
    *("rust", "sass", "scala", "scheme", "scss", "sh", "shell", "shell-session", "sql", "sqlite3"),
    *("svg", "swift", "terraform", "tex", "toml", "ts", "tsx", "typescript", "vim", "xml", "yaml"),
    *("yml", "zig", "zsh"),
}


def render_code(token: "Token", state: RenderState) -> str:
    """A code block as HTML."""
    language = (_LANGUAGE.match(token.info.strip()) or [""])[0]
    code: str = escape(token.content)
    if _is_closed(token) and _is_readable(token.content, language.lower()):
        code = _highlighted(token.content, language.lower())
    copy = f"Copy {language} code" if language else "Copy code"
    number = state.next_number("code")
    attribute = f' class="language-{language}"' if language else ""
    return (
        f'<div class="code">\n<div class="code-head"><span>{language or "Code"}</span>'
        f'<button class="copy" aria-label="{copy} {number}">Copy</button></div>\n'
        f'<pre tabindex="0"><code{attribute}>{code}</code></pre>\n</div>\n'
    )


def _is_closed(token: "Token") -> bool:
    """Whether the block has its closing fence; indented code never has one."""
    first, end = token.map or (0, 0)
    return token.type == "fence" and end - first - 1 > len(token.content.splitlines())


def _is_readable(code: str, language: str) -> bool:
    """Whether no lexer takes long for the code."""
    if len(code) > _MAX_LENGTH_OF.get(language, _MAX_LENGTH) or _MAX_BLANK.search(code):
        return False
    return max(map(len, code.split("\n"))) <= _MAX_LINE


# Kept, because blocks in an open list are rendered again with every piece of text, and
# highlighting takes ten times as long as the rest of their rendering.
@lru_cache(maxsize=64)
def _highlighted(code: str, language: str) -> str:
    """The code as HTML with classes; as plain text if the language is unknown."""
    if language not in _HIGHLIGHTED:
        return escape(code)
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    html, text = [], []
    for css_class, part in _joined(lexer.get_tokens(code)):
        text.append(part)
        escaped = escape(part)
        html.append(f'<span class="{css_class}">{escaped}</span>' if css_class else escaped)
    # Some lexers drop characters, such as a byte order mark: show and copy what was written.
    return "".join(html) if "".join(text) == code else escape(code)


def _joined(tokens: Any) -> Iterator[tuple[str, str]]:
    """Join the lexer's tokens that look the same: less than half of the elements remain."""
    classes = _classes()
    joined_class, joined = "", ""
    for token_type, part in tokens:
        css_class = next((classes[t] for t in reversed(token_type.split()) if t in classes), "")
        if css_class != joined_class and not (part.isspace() and joined_class):
            if joined:
                yield joined_class, joined
            joined_class, joined = css_class, ""
        joined += part
    if joined:
        yield joined_class, joined


@cache
def _classes() -> Mapping[Any, str]:
    from pygments.token import Comment, Generic, Keyword, Literal, Name, Operator, String

    return {
        Comment: "comment",
        Comment.Preproc: "meta",
        Comment.PreprocFile: "string",
        Generic.Deleted: "deleted",
        Generic.Heading: "keyword",
        Generic.Inserted: "inserted",
        Generic.Output: "comment",
        Generic.Prompt: "meta",
        Generic.Subheading: "keyword",
        Keyword: "keyword",
        Keyword.Type: "type",
        Literal.Number: "number",
        Name.Attribute: "name",
        Name.Builtin: "function",
        Name.Builtin.Pseudo: "keyword",
        Name.Class: "type",
        Name.Constant: "number",
        Name.Decorator: "meta",
        Name.Exception: "type",
        Name.Function: "function",
        Name.Tag: "keyword",
        Name.Variable: "name",
        Operator.Word: "keyword",
        String: "string",
        String.Doc: "comment",
        String.Interpol: "meta",
    }
