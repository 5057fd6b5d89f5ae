"""Turns addresses in the text into links: those with http, https or www, and e-mail addresses.

Other host names are no links, since names of files look the same (README.md, main.py).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from linkify_it import LinkifyIt
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline

# Characters of a paragraph. In adversarial text of this length, the library looks for links for
# half a second, and the time grows with the square.
_MAX_LENGTH = 10_000
_WWW = "www."


def add_bare_links(parser: "MarkdownIt") -> None:
    """Teach the parser to find addresses."""
    from markdown_it.rules_inline.linkify import linkify

    def scheme_and_host(state: "StateInline", silent: bool) -> bool:
        if not state.pending[-5:].lower().endswith(("http", "https")):
            return False
        return len(state.src) <= _MAX_LENGTH and linkify(state, silent)

    parser.linkify = _linkify()
    parser.options["linkify"] = True
    parser.enable("linkify")
    parser.inline.ruler.at("linkify", scheme_and_host)


def _linkify() -> "LinkifyIt":
    from linkify_it import LinkifyIt

    class ShortTexts(LinkifyIt):  # type: ignore[misc]
        def pretest(self, text: str) -> bool:
            # Most text has none, and the library's own search is a tenth of a rendering's time.
            if ":" not in text and "@" not in text and _WWW not in text.lower():
                return False
            return len(text) <= _MAX_LENGTH and bool(super().pretest(text))

        def host_after_www(self, text: str, pos: int) -> int:
            """The length of the rest of an address, after its `www.`."""
            start = pos - len(_WWW)
            if start and text[start - 1] in "/@":  # of an address that is no link
                return 0
            length: int = self._validate_double_slash(text, pos)
            host = text[pos : pos + length].split("/")[0]
            return 0 if "@" in host else length

        def add_scheme(self, match: Any) -> None:
            match.url = f"http://{match.url}"

    linkify = ShortTexts(options={"fuzzy_link": False})
    linkify.add("ftp:", None).add("//", None)
    rule = {"validate": linkify.host_after_www, "normalize": linkify.add_scheme}
    return linkify.add(_WWW, rule)
