"""The state of rendering a message, which the parser's render rules share.

The modules that render tables, code blocks, formulas and footnotes take their numbers from it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

_TOP_HEADING_LEVEL = 3  # a message is a section with a heading of level 2


@dataclass
class RenderState:
    """How far a message has been rendered: its heading levels, numbers and footnotes.

    `id_prefix` keeps ids and names apart from those of other messages on the page.
    """

    id_prefix: str = ""
    # The levels of the headings above what is rendered next.
    _outline: list[int] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    # How often each footnote has been referred to. Their order is that of their numbers.
    footnotes: dict[str, int] = field(default_factory=dict)

    def copy(self) -> "RenderState":
        return replace(
            self,
            _outline=self._outline.copy(),
            _counts=self._counts.copy(),
            footnotes=self.footnotes.copy(),
        )

    def next_number(self, kind: str) -> str:
        """A number for the next table, say, that no other table on the page has."""
        self._counts[kind] += 1
        return f"{self.id_prefix}{self._counts[kind]}"

    def enter_heading(self, level: int) -> None:
        """Continue the page's headings: one level below the heading that this one belongs to.

        Only the headings above it count, so that it stays as it is while the text grows, and no
        level is skipped.
        """
        while self._outline and self._outline[-1] >= level:
            self._outline.pop()
        self._outline.append(level)

    @property
    def heading_tag(self) -> str:
        return f"h{min(_TOP_HEADING_LEVEL + len(self._outline) - 1, 6)}"

    def refer_to_footnote(self, label: str) -> tuple[int, int]:
        """The number of the footnote, and how often it has been referred to."""
        self.footnotes[label] = self.footnotes.get(label, 0) + 1
        return list(self.footnotes).index(label) + 1, self.footnotes[label]


def token_rule(render: "Callable[[Token, RenderState], str]") -> Callable[..., str]:
    """A render rule of the parser for tokens that are rendered independently of others."""

    def rule(
        renderer: "RendererHTML",
        tokens: "Sequence[Token]",
        index: int,
        options: "OptionsDict",
        env: dict[str, Any],
    ) -> str:
        return render(tokens[index], env["render_state"])

    return rule
