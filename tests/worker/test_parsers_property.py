"""Whatever is sent to us, a parser takes it or raises what it says, and repeats nothing of it.

The same parsers are fuzzed with coverage by ``make fuzz``; what that has found stands in
``tests/fuzz/corpus``, each line of which is tried here.
"""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from parsers import ENOUGH, TARGETS, repeats_nothing
from thorough import thorough

FUZZ = Path(__file__).parents[1] / "fuzz"
sys.path.append(str(FUZZ))
from fuzz import CORPUS, seeds  # noqa: E402 - a program, not a module of the tests' support

RUNS = 400

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=20,
)


@st.composite
def changed_seeds(draw, name):
    """One that can be used, with some bytes of it changed, doubled, left out or put in."""
    data = bytearray(draw(st.sampled_from(seeds(name))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 4))] = draw(st.binary(max_size=6))
    return bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@st.composite
def changed_json(draw, name):
    """A seed's JSON, one value of which is anything."""
    documents = [
        each for each in map(_loaded, seeds(name)) if each and isinstance(each, dict | list)
    ]
    document = draw(st.sampled_from(documents or [{"more": 1}]))
    place = document
    while True:
        keys = [*place, "more"] if isinstance(place, dict) else range(len(place))
        key = draw(st.sampled_from(keys))
        inside = None if key == "more" else place[key]
        if not isinstance(inside, dict | list) or not inside or draw(st.booleans()):
            break
        place = inside
    place[key] = draw(json_values)
    return json.dumps(document).encode()


def _loaded(data):
    try:
        return json.loads(data)
    except ValueError:
        return None


def anything(name):
    return st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")),
        json_values.map(lambda value: json.dumps(value).encode()),
        changed_seeds(name),
        changed_json(name),
    )


@pytest.mark.hypothesis
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks_a_parser(name):
    run = TARGETS[name].run

    @thorough(RUNS)
    @given(anything(name))
    @example(b"")
    @example(b"[" * 16_000)
    @example(b'{"a":' * 3000)
    @example(b"9" * 5000)
    @example(b'{"token":NaN,"room_name":"\\ud800"}')
    @example("\x1b[2J\u202e\0".encode())
    @example(b"\xff" * 64)
    def holds(data):
        run(data)

    holds()


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed_is_taken(name):
    """And what fuzzing has found, which stands behind them."""
    assert seeds(name)
    for seed in seeds(name):
        TARGETS[name].run(seed)


def test_every_target_has_seeds_and_all_seeds_a_target():
    assert {path.stem for path in CORPUS.iterdir()} == set(TARGETS)


def test_a_parser_that_repeats_what_it_was_given_is_noticed():
    """The check would hold nothing if it were blind."""
    repeats_nothing("The join request needs `token`.", "x" * 100)
    with pytest.raises(AssertionError, match="repeats"):
        repeats_nothing(f"{'secret' * ENOUGH} is no token.", "secret" * ENOUGH)
    with pytest.raises(AssertionError, match="one line"):
        repeats_nothing("one\ntwo", "")
