"""Settings come from the environment, and every bad value gets one clear sentence."""

import dataclasses

import pytest

from worker.errors import WorkerError, WorkerSettingsError
from worker.settings import Settings, parse_size


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


def test_variables_of_others_are_ignored() -> None:
    assert Settings.from_env({"PATH": "/bin", "AVATAR_UNKNOWN": "x", "SIZE": "1x1"}) == Settings()


def test_everything_can_be_set() -> None:
    settings = Settings.from_env(
        {
            "AVATAR_RENDERER": "house.faces:create",
            "AVATAR_CHARACTER": "bob",
            "AVATAR_CHARACTERS": "/srv/faces",
            "AVATAR_BACKGROUND": "#20404f",
            "AVATAR_BADGE": "on",
            "AVATAR_STILLNESS": "0.75",
            "AVATAR_SIZE": "1280x720",
            "AVATAR_SEED": "0",
            "AVATAR_INPUT_RATE": "16000",
            "AVATAR_JOIN_TIMEOUT_S": "2.5",
            "AVATAR_FINISH_S": "3600",
            "AVATAR_RECORD": "/srv/recordings",
            "AVATAR_RECORD_SOUND": "on",
            "AVATAR_RECORD_MB": "4096",
            "AVATAR_LOG_LEVEL": "DEBUG",
            "AVATAR_LOG_FORMAT": "json",
            "AVATAR_TRACING": "on",
        }
    )
    assert settings == Settings(
        renderer="house.faces:create",
        character="bob",
        characters="/srv/faces",
        background="#20404f",
        badge=True,
        stillness=0.75,
        width=1280,
        height=720,
        seed=0,
        input_rate=16_000,
        join_timeout_s=2.5,
        finish_s=3600.0,
        record="/srv/recordings",
        record_sound=True,
        record_mb=4096,
        log_level="DEBUG",
        log_format="json",
        tracing=True,
    )


def test_settings_cannot_be_changed_later() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().width = 5  # type: ignore[misc]


SIDES = "both sides have to be even numbers from 64 to 2048."
SHAPE = "it has to be WIDTHxHEIGHT, such as 512x512."
SECONDS = "it has to be seconds, above 0 and up to 604800."


@pytest.mark.parametrize(
    ("name", "value", "what_to_do"),
    [
        *(
            ("AVATAR_SIZE", value, SHAPE)
            for value in ["", "512", "512x", "x512", "512X512", "512x512x3", "-512x512", "512 x512"]
        ),
        *(("AVATAR_SIZE", value, SHAPE) for value in ["5e2x512", "9" * 6 + "x512"]),
        *(
            ("AVATAR_SIZE", value, SIDES)
            for value in ["62x512", "512x62", "2050x512", "512x99999", "513x512", "512x65", "0x0"]
        ),
        *(
            ("AVATAR_SEED", value, "it has to be a whole number from 0 to 4294967295.")
            for value in ["", "-1", "1.5", "one", "4294967296", "1_000", "1 1", "٣", "9" * 5000]
        ),
        *(
            ("AVATAR_INPUT_RATE", value, "it has to be a whole number from 4000 to 192000.")
            for value in ["0", "3999", "192001", "24k", "24000.0", ""]
        ),
        *(
            (name, value, SECONDS)
            for name in ["AVATAR_JOIN_TIMEOUT_S", "AVATAR_FINISH_S"]
            for value in ["", "0", "-1", "soon", "nan", "inf", "-inf", "1e9", "604800.1"]
        ),
        *(
            ("AVATAR_STILLNESS", value, "it has to be a number from 0 to 1.")
            for value in ["", "-0.1", "1.1", "calm", "nan", "inf"]
        ),
        *(
            (name, value, "it has to be on or off.")
            for name in ["AVATAR_BADGE", "AVATAR_RECORD_SOUND"]
            for value in ["", "yes", "1", "ON"]
        ),
        *(
            ("AVATAR_RECORD_MB", value, "it has to be a whole number from 1 to 4096.")
            for value in ["", "0", "4097", "1.5", "all"]
        ),
        *(
            ("AVATAR_LOG_LEVEL", value, "it has to be DEBUG, INFO, WARNING or ERROR.")
            for value in ["", "debug", "TRACE", "10"]
        ),
        *(
            ("AVATAR_LOG_FORMAT", value, "it has to be text or json.")
            for value in ["", "JSON", "xml"]
        ),
        ("AVATAR_TRACING", "yes", "it has to be on or off."),
    ],
)
def test_a_bad_value_gets_one_sentence_that_names_it(
    name: str, value: str, what_to_do: str
) -> None:
    with pytest.raises(WorkerSettingsError) as caught:
        Settings.from_env({name: value})
    assert str(caught.value) == f"{name} is {value!r}; {what_to_do}"
    assert isinstance(caught.value, WorkerError)


@pytest.mark.parametrize("text", ["64x64", "2048x2048", "130x98", "0512x0512"])
def test_a_size_may_be_any_that_can_be_drawn(text: str) -> None:
    width, height = parse_size(text, "--size")
    assert text.replace("05", "5") == f"{width}x{height}"


def test_a_bad_size_says_whose_it_is() -> None:
    with pytest.raises(WorkerSettingsError, match=r"^--size is '1x1'"):
        parse_size("1x1", "--size")
