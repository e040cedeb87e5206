"""The table of all settings.

From it come what the programs read (reading.py), their ``--help`` and docs/settings.md (pages.py),
and the names that are known (avatar_runtime/variables.py).
"""

from collections.abc import Mapping
from typing import Final

from avatar_runtime.settings.kinds import (
    NODE,
    PREFIX,
    Choice,
    NumberRange,
    Setting,
    Switch,
    Whole,
)

LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")

WEEK_S: Final = 7 * 24 * 3600
MAX_SLOTS: Final = 256

LIMIT_S: Final = NumberRange(0, WEEK_S, "seconds", above=True)
SHARE: Final = NumberRange(0, 1, "a number")
PORT: Final = Whole(0, 65_535)
SWITCH: Final = Switch()

SERVE, WORKER, TOOLS = "serve", "worker", "tools"
DISPATCHERS: Final = (SERVE, NODE)
PROGRAMS: Final = (SERVE, NODE, WORKER)

# fmt: off
GROUPS: Final[Mapping[str, tuple[Setting, ...]]] = {
    "Listening and slots": (
        Setting("HOST", "127.0.0.1", "the address to listen on", (SERVE,)),
        Setting("PORT", "8089", "the port; 0 takes a free one", (SERVE,), PORT),
        Setting(
            "SLOTS", "", "sessions at once", DISPATCHERS,
            Whole(1, MAX_SLOTS), "two for each CPU that it may use",
        ),
        Setting(
            "WARM", "2", "workers that wait for the next session", DISPATCHERS,
            Whole(0, MAX_SLOTS),
        ),
        Setting(
            "SIGNALING_HOSTS", "api.videosdk.live",
            "the signalling hosts that a join request may name, host or host:port, with commas; "
            "the first is for those that name none",
            (SERVE,),
        ),
        Setting(
            "DRAIN_S", "15", "how long sessions may finish their speech after SIGTERM, in seconds",
            DISPATCHERS, Whole(0, 4 * 3600),
            node_default="3600",
        ),
        Setting(
            "ROOM_POLICY", "replace",
            "what happens where a room has a face and a launch asks for another one",
            (SERVE,), Choice(("replace", "multi", "reject")),
        ),
        Setting(
            "WORKER_MEMORY_MB", "0",
            "the memory of its own that one worker may have, in MiB; 0 is no limit",
            DISPATCHERS, Whole(0, 2**20 - 1),
        ),
    ),
    "Who may ask, and how often": (
        Setting(
            "AUTH", "",
            "none, or some of jwt, basic and bearer with commas; required where other machines can "
            "reach the address",
            (SERVE,),
        ),
        Setting(
            "JWT_KEYS", "",
            "apikey:secret of VideoSDK, two while they are exchanged, with commas",
            (SERVE,),
            secret=True,
        ),
        Setting("BASIC_KEYS", "", "user:password, likewise", (SERVE,), secret=True),
        Setting("BEARER_KEYS", "", "keys, likewise", (SERVE,), secret=True),
        Setting(
            "RATE", "600/minute",
            "launches per owner (key, user or address), such as 60/minute; off: no limit",
            (SERVE,),
        ),
        Setting(
            "REFUSALS", "20/second",
            "refusals per address that say their reason; beyond it, all are 429; off: no limit",
            (SERVE,),
        ),
        Setting(
            "SESSIONS_PER_KEY", "0", "sessions at once per owner; 0 is no limit", (SERVE,),
            Whole(0, 10_000),
        ),
        Setting(
            "ALLOWED_HOSTS", "",
            "the Host headers that are answered, with commas; * is any",
            (SERVE,),
            shown="on loopback its own names, else any",
        ),
        Setting(
            "FORWARDED_ALLOW_IPS", "",
            "proxies whose X-Forwarded-For is trusted, addresses or networks with commas",
            (SERVE,),
        ),
    ),
    "Many machines": (
        Setting(
            "REDIS_URL", "",
            "where the nodes are found: redis://, rediss:// or unix://; without it, all sessions "
            "are on this machine",
            DISPATCHERS,
            secret=True,
        ),
        Setting(
            "SEAL_KEYS", "",
            "what encrypts join requests there, 32 bytes in URL-safe base64, two while they are "
            "exchanged",
            DISPATCHERS,
            secret=True,
        ),
        Setting("NODE_NAME", "", "the node's own name", DISPATCHERS, shown="that of the host"),
        Setting(
            *(
                "LEASE_S",
                "10",
                "how long a node may be silent until its sessions move",
                DISPATCHERS,
            ),
            NumberRange(0.5, 300, "seconds"),
        ),
        Setting(
            "PROTECT", "off", "cost makes Kubernetes remove pods without sessions first",
            (NODE,), Choice(("off", "cost")),
        ),
    ),
    "Faces": (
        Setting(
            "RENDERER",
            "character",
            "a file of worker/renderers, or package.module:create",
            (WORKER,),
        ),
        Setting(
            "MEETING", "videosdk", "a file of worker/meetings, or package.module:create", (WORKER,)
        ),
        Setting(
            "CHARACTER", "ada",
            "which face the character renderer draws: a name, a folder or a .zip",
            (WORKER,),
        ),
        Setting(
            "CHARACTERS", "",
            "a folder of your own characters, which join requests may name too",
            (WORKER,),
        ),
        Setting(
            "BACKGROUND", "",
            "behind the face, a colour such as #20404f or a picture file", (WORKER,),
            shown="its own wall",
        ),
        Setting("BADGE", "off", "whether a corner says that it is an AI", (WORKER,), SWITCH),
        Setting(
            "STILLNESS", "0.3", "from 0, lively, to 1, only blinks and breath", (WORKER,),
            SHARE,
        ),
        Setting("SIZE", "512x512", "width and height of the picture, in pixels", (WORKER,)),
        Setting(
            "SEED", "1", "seed of blinks and other small movements",
            (WORKER,), Whole(0, 2**32 - 1),
        ),
        Setting(
            "INPUT_RATE", "24000",
            "sample rate of speech that does not say its own, in Hz",
            (WORKER,), Whole(4000, 192_000),
        ),
        Setting(
            "JOIN_TIMEOUT_S", "20", "how long joining the meeting may take", (WORKER,), LIMIT_S
        ),
        Setting(
            "FINISH_S", "10", "how long it may finish its speech after SIGTERM", (WORKER,),
            LIMIT_S,
        ),
        Setting(
            "AGENT_ABSENT_S", "30",
            "how long it stays where no agent has come, or the agent has left",
            (WORKER,), LIMIT_S,
        ),
        Setting(
            "EMPTY_ROOM_S", "10", "how long it stays alone after everybody has left", (WORKER,),
            LIMIT_S,
        ),
        Setting("LONGEST_S", "14400", "how long a session may last", (WORKER,), LIMIT_S),
        Setting(
            "RECORD", "", "a folder for a recording of each session, for `avatar replay`",
            (WORKER,),
            shown="none",
        ),
        Setting(
            "RECORD_SOUND", "off", "whether speech and its words are recorded too", (WORKER,),
            SWITCH,
        ),
        Setting(
            "RECORD_MB", "64", "the size of a recording at most, in million bytes", (WORKER,),
            Whole(1, 4096),
        ),
        Setting(
            "PORTRAIT_MODELS", "", "a folder with the models for characters made of photos",
            (TOOLS,),
        ),
    ),
    "Observing": (
        Setting(
            "ADMIN_HOST", "127.0.0.1", "the address for /metrics, /drain and the probes",
            DISPATCHERS,
        ),
        Setting(
            "ADMIN_PORT", "8090", "its port; 0 takes a free one", DISPATCHERS, PORT,
            node_default="8091",
        ),
        Setting(
            "LOG_LEVEL", "INFO", "the least level that is logged",
            PROGRAMS, Choice(LOG_LEVELS),
        ),
        Setting(
            "LOG_FORMAT", "text", "lines for people or one JSON object a line",
            PROGRAMS, Choice(("text", "json")),
        ),
        Setting(
            "TRACING", "off",
            "whether steps are sent as OpenTelemetry spans to OTEL_EXPORTER_OTLP_ENDPOINT",
            (SERVE, WORKER), SWITCH,
        ),
    ),
}
# fmt: on

SETTINGS: Final = tuple(each for settings in GROUPS.values() for each in settings)

SECRETS: Final = tuple(each.variable for each in SETTINGS if each.secret)

OTHERS: Final = ("DISPATCHER_URL", "NO_BROWSER", "NO_REDIS", "IMAGE")
"""Read by agents, by the tests and by deploy/compose.yaml."""

KNOWN: Final = frozenset(
    [
        *(each.variable for each in SETTINGS),
        *(f"{name}_FILE" for name in SECRETS),
        *(PREFIX + name for name in OTHERS),
    ]
)
