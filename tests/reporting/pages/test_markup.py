from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from vecsmith.reporting.pages.markdown import plain
from vecsmith.reporting.pages.markup import Html, cut, element, escaped, foreign, join


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


@given(st.text())
def test_any_text_comes_back_as_text_and_as_attribute(text: str) -> None:
    reader = read(element("p", text, title=text))
    assert [tag for tag, _ in reader.tags] == ["p"]
    ((name, value),) = reader.tags[0][1]
    assert name == "title"
    if text.isprintable():
        assert reader.text == value == text


@given(st.text())
def test_foreign_text_never_ends_its_element(text: str) -> None:
    reader = read(element("div", foreign(text)))
    assert [tag for tag, _ in reader.tags] == ["div", "bdi"]


def test_markup_is_not_escaped_twice() -> None:
    assert element("p", element("b", "<x>")) == "<p><b>&lt;x&gt;</b></p>"
    assert join([Html("<br/>"), "<br/>"], " & ") == "<br/> &amp; &lt;br/&gt;"


def test_attributes_lose_the_underscore_and_none_is_left_out() -> None:
    assert element("td", class_="a", aria_label="b", title=None) == (
        '<td class="a" aria-label="b"></td>'
    )
    assert element("img", src="x") == '<img src="x"/>'


def test_characters_that_show_nothing_or_turn_the_text_are_replaced() -> None:
    assert escaped("a\x00b\x1bc\u202ed\ud800e") == "a�b�c�d�e"


def test_long_texts_are_cut_at_a_word() -> None:
    assert cut("one  two\nthree four", 13) == "one two…"
    assert cut("x" * 50, 10) == "x" * 9 + "…"
    assert len(escaped("x" * 10**6)) < 5000


def test_what_holds_numbers_together_is_kept() -> None:
    assert cut("p\u00a0=\u00a00.03 and\u2028more", 50) == "p\u00a0=\u00a00.03 and more"


def test_markdown_reads_nothing_into_a_text() -> None:
    assert plain("a|b *c* _d_ `e` [f](g) <h> \\i $j$ ~k~") == (
        r"a\|b \*c\* \_d\_ \`e\` \[f\](g) &lt;h&gt; \\i \$j\$ \~k\~"
    )
    assert "\n" not in plain("a\nb\r\n\u2028c")
    assert "https://" not in plain("see https://example.org and www.example.org")
    assert "www." not in plain("see www.example.org")
