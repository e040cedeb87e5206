"""Keywords in a transcript make the face answer with a gesture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_side import AvatarAudioOut, AvatarCredentials
from agent_side.gestures import COOLDOWN_S, DEFAULT_KEYWORDS, Gestures

OURS = ("nod", "shake", "wave_hello", "laugh")


class Avatar:
    """Takes note of the gestures that it is asked for."""

    def __init__(self, gestures: tuple[str, ...] = OURS, *, is_there: bool = True) -> None:
        self.gestures = gestures
        self.is_there = is_there
        self.made: list[str] = []

    def gesture(self, name: str) -> bool:
        assert name in self.gestures
        if self.is_there:
            self.made.append(name)
        return self.is_there


def hears(transcript: str, **options: bool) -> str | None:
    return Gestures(Avatar(), **options).hear(transcript, 0.0)


@pytest.mark.parametrize(
    ("transcript", "gesture"),
    [
        ("Hello there.", "wave_hello"),
        ("hi", "wave_hello"),
        ("HEY!", "wave_hello"),
        ("well, goodbye", "wave_hello"),
        ("Could you wave?", "wave_hello"),
        ("that was hilarious", "laugh"),
        ("haha", "laugh"),
        ("Yes, I agree.", "nod"),
        ("yeah", "nod"),
        ("(yes)", "nod"),
        ("something else", None),
        ("", None),
        ("...", None),
    ],
)
def test_a_keyword_leads_to_its_gesture(transcript: str, gesture: str | None) -> None:
    assert hears(transcript) == gesture


@pytest.mark.parametrize("transcript", ["this", "something", "Chile", "yesterday", "hï", "हिhi"])
def test_a_part_of_a_word_is_no_word(transcript: str) -> None:
    assert hears(transcript) is None


def test_parts_of_words_count_where_that_is_wanted() -> None:
    assert hears("this is it", whole_words=False) == "wave_hello"


def test_the_first_gesture_of_the_map_wins() -> None:
    assert hears("yes, that is funny, bye") == "wave_hello"


def test_a_gesture_rests_for_its_cooldown_and_the_others_do_not() -> None:
    avatar = Avatar()
    gestures = Gestures(avatar)
    assert gestures.hear("hello", 100.0) == "wave_hello"
    assert gestures.hear("hello", 100.0 + COOLDOWN_S - 0.01) is None
    assert gestures.hear("hello, yes", 101.0) == "nod"
    assert gestures.hear("hello", 100.0 + COOLDOWN_S) == "wave_hello"
    assert avatar.made == ["wave_hello", "nod", "wave_hello"]


def test_a_gesture_that_no_face_was_asked_for_does_not_rest() -> None:
    avatar = Avatar(is_there=False)
    gestures = Gestures(avatar)
    assert gestures.hear("hello", 0.0) is None
    avatar.is_there = True
    assert gestures.hear("hello", 0.1) == "wave_hello"


def test_what_the_face_does_not_have_is_never_asked_of_it() -> None:
    assert Gestures(Avatar()).hear("thanks, I love it", 0.0) is None
    heartfelt = Avatar(("thumbs_up", "heart_gesture"))
    assert Gestures(heartfelt).hear("thanks, I love it", 0.0) == "heart_gesture"
    assert Gestures(Avatar(())).hear("hello", 0.0) is None


def test_the_face_is_looked_at_when_something_is_said() -> None:
    avatar = Avatar(())
    gestures = Gestures(avatar)
    assert gestures.hear("hello", 0.0) is None
    avatar.gestures = OURS
    assert gestures.hear("hello", 0.1) == "wave_hello"


def test_keyword_maps_of_other_runtimes_work() -> None:
    keywords = {
        "mini_wave_hello": ["ahoy"],
        "laugh_react": ["lol"],
        "nod_agree": ["aye aye"],
        "clap_cheer": ["bravo"],
    }
    gestures = Gestures(Avatar(), keywords)
    assert gestures.hear("Ahoy!", 0.0) == "wave_hello"
    assert gestures.hear("lol", 0.0) == "laugh"
    assert gestures.hear("aye, aye", 0.0) == "nod"
    assert gestures.hear("bravo", 0.0) is None


def test_letters_are_folded_in_any_script() -> None:
    gestures = Gestures(
        Avatar(), {"nod": ["STRASSE", "Да", "cafe\u0301", "ｆｕｌｌ"]}, cooldown_s=0
    )
    for said in ("straße", "ДА!", "Café", "full"):
        assert gestures.hear(said, 0.0) == "nod"
    assert gestures.hear("cafe", 0.0) is None


def test_keywords_come_and_go() -> None:
    gestures = Gestures(Avatar(), {"nod": ["yes"]})
    gestures.add("nod", "of  course")
    gestures.add("nod", "Yes")
    gestures.add("shake", "no")
    assert gestures.keywords == {"nod": ("yes", "of course"), "shake": ("no",)}
    assert gestures.hear("Of course!", 0.0) == "nod"
    gestures.remove("NO")
    gestures.remove("never added")
    assert gestures.keywords == {"nod": ("yes", "of course")}
    assert gestures.hear("no", 0.0) is None


def test_a_keyword_without_letters_is_refused() -> None:
    with pytest.raises(ValueError, match="nod"):
        Gestures(Avatar(), {"nod": ["?!"]})


def test_the_default_map_is_left_alone() -> None:
    gestures = Gestures(Avatar())
    gestures.add("shake", "no")
    gestures.remove("hello")
    assert "shake" not in DEFAULT_KEYWORDS
    assert "hello" in DEFAULT_KEYWORDS["wave_hello"]


def test_an_avatar_is_what_gestures_are_made_for() -> None:
    avatar = AvatarAudioOut(credentials=AvatarCredentials("avatar", "token"))
    assert Gestures(avatar).hear("hello", 0.0) is None


@given(st.text(), st.booleans())
def test_whatever_is_said_makes_one_gesture_or_none(said: str, whole_words: bool) -> None:
    avatar = Avatar()
    made = Gestures(avatar, whole_words=whole_words).hear(said, 0.0)
    assert avatar.made == ([] if made is None else [made])
