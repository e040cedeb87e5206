"""avatar doctor: what is installed, what is missing and what to do, one line for each.

    python -P -m worker.tools.doctor

Imports nothing but the standard library until a check needs more, so that it can speak where
the rest cannot even start. Asks nothing of the network.
"""

import importlib
import operator
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from avatar_runtime.cpus import cpus
from avatar_runtime.texts import tidied
from avatar_runtime.variables import doubts
from worker.errors import WorkerError
from worker.settings import Settings
from worker.tools.arguments import Parser

DISTRIBUTION: Final = "avatar-face"
PYTHON: Final = ">=3.11"
"""What is needed where the package is not installed and cannot say."""

IMPORT_NAMES: Final = {
    "opentelemetry-api": "opentelemetry",
    "pillow": "PIL",
    "prometheus-client": "prometheus_client",
    "pycryptodome": "Crypto",
    "pyjwt": "jwt",
}
"""Distributions whose module has another name."""

EXTRAS: Final = ("worker", "dispatcher", "localroom")
"""What the commands need beside the base, which is for agents."""

OF_EXTRAS: Final = frozenset(f"extra == {quote}{name}{quote}" for name in EXTRAS for quote in "'\"")

ENCODERS: Final = {
    "libx264": "films' pictures",
    "aac": "films' sound",
    "libvpx": "meetings' pictures",
    "libopus": "meetings' sound",
}

PACKAGES: Final = ("agent_side", "avatar_runtime", "dispatcher", "localroom", "worker")

CERTIFICATES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""Variables that name certificates to trust."""

PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")

SOCKS: Final = {"socksio": "socksio", "socks": "pysocks", "python_socks": "python-socks"}
"""What httpx, requests and websockets need for a SOCKS proxy: a module, and what brings it."""

COMPARE: Final[dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


PROBE: Final = bytes(4096)
"""What is written to find out whether a folder takes a file: some bytes, as a disk may be full."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: a fact and, where something is missing, what to do about it.

    What a face does not need is `auxiliary`: without it the service is degraded and works.
    """

    fact: str
    remedy: str = ""
    auxiliary: bool = False

    def __str__(self) -> str:
        if not self.remedy:
            return f"ok       {self.fact}"
        return f"{'degraded' if self.auxiliary else 'missing '} {self.fact}; {self.remedy}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The program: 0 where everything needed is there, else 1."""
    Parser("avatar doctor", "Says what is installed, what is missing and what to do.").parse_args(
        arguments
    )
    missing = 0
    for finding in findings():
        missing += bool(finding.remedy) and not finding.auxiliary
        sys.stdout.write(f"{finding}\n")
        sys.stdout.flush()
    if missing:
        sys.stdout.write(f"{missing} missing: do what those lines say and ask again.\n")
        return 1
    sys.stdout.write("Everything is there. Try: avatar speak speech.wav -o film.mp4\n")
    return 0


def findings() -> Iterator[Finding]:
    """Every check, in the order in which a remedy for one may help the next."""
    yield from _package()
    for requirement in _requirements():
        yield _dependency(requirement)
    for encoder, purpose in ENCODERS.items():
        yield _encoder(encoder, purpose)
    yield _resampler()
    yield from _characters()
    yield from _environment()
    yield from _settings_and_face()
    yield _temporary_folder()
    yield _shared_memory()
    yield from _recordings()
    usable = cpus()
    yield Finding(f"{usable}, so {usable.slots} slots where AVATAR_SLOTS does not say")


def satisfies(installed: str, specifiers: str) -> bool:
    """Whether a version meets specifiers such as ``>=14,<17``.

    Compares the numbers of a release; suffixes such as ``rc1`` do not count.
    """
    release = _numbers(installed)
    for symbol, wanted in re.findall(r"(>=|<=|==|!=|>|<)\s*([\d.]+)", specifiers):
        numbers = _numbers(wanted)
        length = max(len(release), len(numbers))
        if not COMPARE[symbol](_padded(release, length), _padded(numbers, length)):
            return False
    return True


def _package() -> Iterator[Finding]:
    try:
        wanted = metadata(DISTRIBUTION)["Requires-Python"]
        yield Finding(f"{DISTRIBUTION} {version(DISTRIBUTION)}")
    except PackageNotFoundError:
        wanted = PYTHON
        yield Finding(
            f"{DISTRIBUTION} is not installed, so what it needs is not known",
            f"in its folder, run: {sys.executable} -m pip install -e '.[all]'",
        )
    running = platform.python_version()
    if satisfies(running, wanted):
        yield Finding(f"Python {running} (needs {wanted})")
    else:
        yield Finding(f"Python is {running}, needs {wanted}", "install a newer Python")


def _requirements() -> list[str]:
    """What an installation that runs faces needs, such as ``av<17,>=14``."""
    try:
        needed = [each.partition(";") for each in requires(DISTRIBUTION) or []]
    except PackageNotFoundError:
        return []
    ours = [
        requirement.strip()
        for requirement, _, marker in needed
        if "extra" not in marker or marker.strip() in OF_EXTRAS
    ]
    return list(dict.fromkeys(ours))


def _dependency(requirement: str) -> Finding:
    name, specifiers = re.findall(r"([\w.-]+)(.*)", requirement)[0]
    remedy = f'run: {sys.executable} -m pip install "{requirement}"'
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Finding(f"{name} is not installed", remedy)
    if not satisfies(installed, specifiers):
        return Finding(f"{name} is {installed}, needs {specifiers}", remedy)
    try:
        importlib.import_module(IMPORT_NAMES.get(name, name))
    except (ImportError, OSError) as error:
        return Finding(f"{name} {installed} cannot be imported ({_line(error)})", remedy)
    return Finding(f"{name} {installed} (needs {specifiers})")


def _encoder(name: str, purpose: str) -> Finding:
    what = f"encoder {name}, for {purpose}"
    try:
        from av.codec import Codec
        from av.codec.codec import UnknownCodecError
    except (ImportError, OSError) as error:
        return Finding(f"{what}, cannot be looked for ({_line(error)})", "install av, see above")
    try:
        Codec(name, "w")
    except UnknownCodecError:
        return Finding(
            f"{what}, is not in this build of av",
            f"run: {sys.executable} -m pip install --force-reinstall --only-binary :all: av",
        )
    return Finding(what)


def _resampler() -> Finding:
    """Resample a tenth of a second of a tone and look at what comes."""
    try:
        import numpy as np

        from worker.sound import Resampler
    except (ImportError, OSError) as error:
        return Finding(f"resampling cannot be tried ({_line(error)})", "install that, see above")
    tone = (10_000 * np.sin(2 * np.pi * 1000 / 48_000 * np.arange(4800))).astype(np.int16)
    made = Resampler(48_000).push(tone, last=True)
    level = float(np.sqrt(np.mean(made[240:-240].astype(float) ** 2)))
    if len(made) != 2400 or abs(level - 10_000 / 2**0.5) > 100:
        return Finding(
            "soxr resamples wrongly",
            f"run: {sys.executable} -m pip install --force-reinstall soxr",
        )
    return Finding("resampling 48 kHz to 24 kHz")


def _face(settings: Settings) -> Finding:
    """Draw one tick of speech with the renderer that the settings name."""
    try:
        import numpy as np

        from worker.media import FRAME_SAMPLES
        from worker.process.loading import load_renderer

        renderer = load_renderer(settings)
        renderer.push(1, np.zeros(FRAME_SAMPLES, np.int16))
        renderer.finish(1)
        sounding = sum(len(frame.pcm) for frame in renderer.drain())
        picture = renderer.idle()
        renderer.close()
    except WorkerError as error:
        return Finding(_line(error).rstrip("."), "set AVATAR_CHARACTER or AVATAR_RENDERER")
    except ImportError as error:
        return Finding(f"no face can be drawn ({_line(error)})", "install that, see above")
    except Exception as error:  # noqa: BLE001 - somebody else's renderer may raise anything
        return Finding(
            f"renderer {settings.renderer} fails ({type(error).__name__}: {_line(error)})",
            "choose another with AVATAR_RENDERER",
        )
    if sounding != FRAME_SAMPLES:
        return Finding(
            f"renderer {settings.renderer} was given {FRAME_SAMPLES} samples and gave {sounding}",
            "choose another with AVATAR_RENDERER",
        )
    return Finding(f"a face is drawn, {picture.width}x{picture.height}")


def _characters() -> Iterator[Finding]:
    """The faces that ship with the character renderer, and an operator's own."""
    own = tidied(os.environ).get("AVATAR_CHARACTERS", "")
    try:
        from worker.characters.folder import characters_in, names
        from worker.characters.source import expanded

        shipped = names()
        place = expanded(own)
    except (ImportError, WorkerError) as error:
        yield Finding(f"characters cannot be looked for ({_line(error)})", "see above")
        return
    if shipped:
        yield Finding(f"characters: {', '.join(shipped)}")
    else:
        yield Finding("no character came with the package", "install it anew")
    if not own:
        return
    if not place.is_dir():
        yield Finding(f"AVATAR_CHARACTERS is {own!r}, no folder", "make it or unset that variable")
        return
    listed = ", ".join(characters_in(place)) or "none; put folders or .zip files there"
    yield Finding(f"characters in {own}: {listed}")


def _environment() -> Iterator[Finding]:
    """What in the environment has no effect or makes connections fail."""
    for doubt in doubts(os.environ):
        fact, _, remedy = doubt.partition("; ")
        yield Finding(fact, remedy or "correct its name or unset it")
    yield from _shadows()
    for name in CERTIFICATES:
        path = os.environ.get(name)
        if path and not Path(path).exists():
            yield Finding(f"{name} is {path!r}, which is not there", "correct it or unset it")
    yield from _proxies()


def _shadows() -> Iterator[Finding]:
    """Files in PYTHONPATH that are called as packages of ours are."""
    ours = Path(__file__).resolve().parents[2]
    for place in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if Path(place).resolve() == ours:
            continue
        for package in PACKAGES:
            for found in (Path(place, f"{package}.py"), Path(place, package, "__init__.py")):
                if found.is_file():
                    yield Finding(
                        f"{found} in PYTHONPATH is called as a package of ours; the command avatar "
                        f"runs ours, `python -m {package}` does not"
                    )


def _proxies() -> Iterator[Finding]:
    """Proxies for hosts that are not this machine, and whether they can be used."""
    set_here = [name for name in sorted(os.environ) if name.lower() in PROXIES and os.environ[name]]
    for name in set_here:
        scheme = os.environ[name].partition("://")[0].lower() if "://" in os.environ[name] else ""
        if scheme.startswith("socks") and any(find_spec(each) is None for each in SOCKS):
            yield Finding(
                f"{name} names a SOCKS proxy, for which packages are missing",
                f"run: {sys.executable} -m pip install {' '.join(SOCKS.values())}; or unset it",
            )
        elif scheme not in ("", "http", "https") and not scheme.startswith("socks"):
            yield Finding(f"{name} names no proxy that is known ({scheme}://)", "write http://...")
        else:
            yield Finding(f"{name} is for other hosts; this machine is asked directly")


def _settings_and_face() -> Iterator[Finding]:
    try:
        settings = Settings.from_env(os.environ)
    except WorkerError as error:
        yield Finding(_line(error).rstrip("."), "change that variable or unset it")
        return
    yield Finding(
        f"settings: renderer {settings.renderer}, character {settings.character}, "
        f"{settings.width}x{settings.height}"
    )
    yield _face(settings)


def _temporary_folder() -> Finding:
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(PROBE)
    except OSError as error:
        return Finding(
            f"no temporary folder takes a file ({error.strerror or error})",
            "name one in TMPDIR; only `avatar serve --local` uses it, for its certificate",
            auxiliary=True,
        )
    return Finding(f"temporary folder {tempfile.gettempdir()}")


def _shared_memory() -> Finding:
    """What workers count their metrics in; see dispatcher/workers/shared_numbers.py."""
    try:
        descriptor = os.memfd_create("avatar-doctor")
    except (OSError, AttributeError) as error:
        return Finding(
            f"no shared memory for the workers' metrics ({_line(error)})",
            "run a Linux and a Python with memfd_create; faces work without metrics",
            auxiliary=True,
        )
    os.close(descriptor)
    return Finding("shared memory for the workers' metrics")


def _recordings() -> Iterator[Finding]:
    folder = os.environ.get("AVATAR_RECORD")
    if not folder:
        return
    try:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(PROBE)
    except OSError as error:
        yield Finding(
            f"AVATAR_RECORD is {folder!r}, which takes no file ({error.strerror or error})",
            "name a folder that can be written, or unset it; sessions are not recorded until then",
            auxiliary=True,
        )
        return
    yield Finding(f"recordings go to {folder}")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(number) for number in found[0].split(".")) if found else ()


def _padded(numbers: tuple[int, ...], length: int) -> tuple[int, ...]:
    return numbers + (0,) * (length - len(numbers))


if __name__ == "__main__":
    sys.exit(main())
