"""A property of a parser: pytest test_my_parser.py"""

from hypothesis import given
from hypothesis import strategies as st

from rtspkit.messages import Parser
from rtspkit.testing.strategies import chunks, interleaved_streams


@given(interleaved_streams(loose=True), st.data())
def test_any_split_gives_the_same(stream, data):
    parser, found = Parser(), []  # put your own in its place
    for piece in data.draw(chunks(stream.data)):
        parser.feed(piece)
        while (item := parser.next()) is not None:
            found.append(item)
    assert found == list(stream.items)
