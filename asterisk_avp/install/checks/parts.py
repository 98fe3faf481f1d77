"""Does this Asterisk have the modules, contexts and sounds that the dialplan and daemon use?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asterisk_avp.core.transfer.prompts import ALL as PROMPTS
from asterisk_avp.install.checks.agents import agents, endpoints
from asterisk_avp.install.checks.model import Facts, Finding, Severity

MODULES: Final[dict[str, str]] = {
    **dict.fromkeys(("app_queue", "app_stack", "pbx_config"), "queues and the dialplan"),
    **dict.fromkeys(("app_stasis", "res_stasis", "res_stasis_answer"), "calls in a transfer"),
    **dict.fromkeys(
        ("res_ari", "res_ari_applications", "res_ari_asterisk", "res_ari_bridges"), "ARI"
    ),
    **dict.fromkeys(("res_ari_channels", "res_ari_events", "res_ari_playbacks"), "ARI"),
    "res_http_websocket": "ARI's events",
    "res_stasis_playback": "prompts in a transfer",
    "res_stasis_snoop": "what the network says before an outside number answers",
    **dict.fromkeys(("app_dial", "app_exec", "app_userevent"), "the dialplan"),
    "app_playtones": "phones with different codecs",
    **dict.fromkeys(
        ("app_senddtmf", "app_waitforcond", "func_frame_drop"), "members that are no phones"
    ),
    **dict.fromkeys(("app_originate", "app_channelredirect"), "hang-ups while no daemon runs"),
    **dict.fromkeys(("app_playback", "app_read"), "announcements, and EXTERNAL_ACCEPT=press1"),
    "res_agi": "numbers dialled on phones",
    **dict.fromkeys(
        ("func_callerid", "func_channel", "func_cut", "func_devstate", "func_dialplan"),
        "functions of the dialplan",
    ),
    **dict.fromkeys(
        ("func_global", "func_json", "func_logic", "func_strings", "func_timeout"),
        "functions of the dialplan",
    ),
    **dict.fromkeys(("bridge_simple", "bridge_softmix"), "consultations and conferences"),
    "bridge_builtin_features": "the transfer code",
    "res_pjsip_header_funcs": "screen pops in SIP headers",
    "res_musiconhold": "music on hold",
}
"""The modules that we use, and for what. Asterisk names them with `.so`."""

EXTENSIONS: Final = (
    *("avp-stasis,caller", "avp-agent-queue,1", "avp-group-queue,1", "avp-recall,lost"),
    *("avp-offer,s", "avp-queue-parameters,s", "avp-head-of-queue,s"),
    *("avp-own-priority,s", "avp-own-recording,s", "avp-somebody-there,s"),
    *("avp-member,s", "avp-guard,s", "avp-answered-by,1", "avp-own-phone,s", "avp-clean,id"),
    *("avp-pop-headers,s", "avp-agents,s", "avp-phones,112", "avp-always,112", "avp-colleague,s"),
    *("avp-dialled,12", "avp-gate,s", "avp-gate-refused,s"),
    *("avp-recording,s", "avp-told,s"),
    *("avp-orphaned,caller", "avp-orphans,1", "avp-caller-gone,1", "avp-heartbeat,s", "avp-who,s"),
    *("avp-drop,s", "avp-resumed,one", "avp-who,state"),
    *("avp-watch,s", "avp-phone-ended,s", "avp-partner,s", "avp-unplugged,s"),
    *("avp-own-limit,s", "avp-end,s", "avp-external-leg,+1", "avp-accept,s", "avp-check,s"),
    *("avp-translation,now", "avp-connected,s", "avp-withheld,s"),
    *("avp-remote-leg,1", "avp-remote-queue,1", "avp-remote-group,1", "avp-remote-group-here,1"),
    *(
        "avp-node-fork,s",
        "avp-node-wait,s",
        "avp-node-pass,s",
        "avp-node-reach,s",
        "avp-node-out,s",
        "avp-trunk-ended,s",
    ),
    *("avp-node-in,1", "avp-node-read,s", "avp-node-member,s"),
)
"""One extension of each context that asterisk_avp.conf has."""
OUTSIDE: Final = "avp-external,+12025550100"

DIALPLAN_SOUNDS: Final = (
    *("vm-nobodyavail", "vm-goodbye", "followme/no-recording", "followme/options"),
    *("sorry-youre-having-problems", "please-try-call-later", "cannot-complete-as-dialed"),
    *("feature-not-avail-line", "ss-noservice"),
)
"""The sounds that asterisk_avp.conf plays by default."""
SOUND_VARIABLES: Final = ("AVP_MAX_HOLD_SOUND", "AVP_ACCEPT_SOUND")
_DIGITS: Final = tuple(f"digits/{digit}" for digit in range(10))


def modules(facts: Facts) -> Iterator[Finding]:
    if facts.live is None or facts.live.modules is None:
        return
    loaded = facts.live.modules
    missing = [name for name in MODULES if loaded.get(f"{name}.so", "") != "Running"]
    if not missing:
        yield Finding("modules", Severity.OK, "all required modules are running")
        return
    parts = ", ".join(dict.fromkeys(MODULES[name] for name in missing))
    yield Finding(
        "modules",
        Severity.ERROR,
        f"these modules are not running: {', '.join(missing)}",
        f"They are needed for {parts}.",
        "modules.conf",
        tuple(f"load = {name}.so" for name in missing),
    )


def contexts(facts: Facts) -> Iterator[Finding]:
    """Is our dialplan loaded, complete and of this version, and does avp-external reach a trunk?"""
    if facts.stale_dialplan:
        yield Finding(
            "dialplan",
            Severity.WARNING,
            f"{facts.stale_dialplan} is not the dialplan of this version of asterisk-avp",
            "It was edited, or asterisk-avp was upgraded. The daemon needs the dialplan of its own"
            " version.",
            facts.stale_dialplan,
            (f"; asterisk-avp render dialplan --output <path of {facts.stale_dialplan}>",),
        )
    if facts.live is None or not facts.live.extensions:
        return
    found = facts.live.extensions
    missing = [name.partition(",")[0] for name in EXTENSIONS if not found.get(name)]
    if missing:
        yield Finding(
            "dialplan",
            Severity.ERROR,
            f"Asterisk has no context {', '.join(missing)}",
            "Transfers send calls there. These calls would be lost.",
            "extensions.conf",
            (
                "; asterisk-avp render dialplan --output /etc/asterisk/asterisk_avp.conf, then",
                "#include asterisk_avp.conf",
                "; and asterisk -rx 'dialplan reload'",
            ),
        )
    elif facts.live.selftest is not None and not facts.live.selftest.refused:
        if facts.live.selftest.ran:
            yield Finding("dialplan", Severity.OK, "the dialplan is loaded and runs")
        else:
            yield Finding(
                "dialplan",
                Severity.ERROR,
                "the context avp-check started but did not reach its end",
                "Asterisk's log says what is wrong with the dialplan.",
                "extensions.conf",
                ("; run asterisk -rx 'dialplan reload' and read Asterisk's log",),
            )
    groups = facts.world.groups.values() if facts.world is not None else ()
    if any(group.features.external_transfer for group in groups) and not found.get(OUTSIDE):
        yield Finding(
            "dialplan",
            Severity.ERROR,
            "the context avp-external dials no trunk",
            "External transfer is enabled, but every external number would be refused.",
            "extensions.conf",
            ("[avp-external](+)", "exten => _+X!,1,Dial(PJSIP/${EXTEN}@trunk,60,i)"),
        )


def rendered(facts: Facts) -> Iterator[Finding]:
    """Are our other files as this version writes them?"""
    for name in facts.outdated:
        yield Finding(
            "rendered",
            Severity.WARNING,
            f"{name} is not as this version of asterisk-avp writes it",
            "It was edited, or asterisk-avp was upgraded, or your own files or the settings have"
            " changed since. It may lack what this version relies on.",
            name,
            (
                "; repeat the command in the head of the file (render all: with --write), then",
                "; copy the file as INSTALL.txt says, and reload Asterisk",
            ),
        )


def sounds(facts: Facts) -> Iterator[Finding]:
    """Does Asterisk have the sounds that callers and agents hear?"""
    if facts.live is None or facts.live.sounds is None:
        return
    available = facts.live.sounds
    values = [facts.live.variables.get(name, "") for name in SOUND_VARIABLES]
    custom = [sound for value in values for sound in value.split("&") if sound]
    missing = [name for name in (*DIALPLAN_SOUNDS, *PROMPTS, *_DIGITS) if name not in available]
    unknown = [name for name in custom if name not in available]
    untranslated = {
        language: [x for x in (*DIALPLAN_SOUNDS, *PROMPTS) if language not in available.get(x, ())]
        for language in _languages(facts)
    }
    clean = True
    if missing:
        clean = False
        yield Finding(
            "sounds",
            Severity.ERROR,
            f"Asterisk has no sound {', '.join(missing)}",
            "Callers and agents would hear silence instead of these prompts.",
            "",
            ("# install Asterisk's core sounds, e.g. apt install asterisk-core-sounds-en-gsm",),
        )
    if unknown:
        clean = False
        yield Finding(
            "sounds",
            Severity.WARNING,
            f"Asterisk does not list the sound {', '.join(unknown)}",
            "A global variable names it as a replacement. If the file does not exist, nothing is"
            " heard.",
            "extensions.conf",
            (f"; [globals]: {' and '.join(SOUND_VARIABLES)}",),
        )
    for language, names in untranslated.items():
        if names and not missing:
            clean = False
            yield Finding(
                "sounds",
                Severity.WARNING,
                f"Asterisk has no {', '.join(names)} in the language {language}",
                "Phones with this language hear these prompts in the default language.",
                "",
                (f"# install asterisk-core-sounds-{language}, or change `language` in pjsip.conf",),
            )
    if clean:
        yield Finding("sounds", Severity.OK, "all required sounds are available")


def _languages(facts: Facts) -> list[str]:
    known = endpoints(facts.file("pjsip.conf"))
    spoken = (known[name].last("language") for name in agents(facts) if name in known)
    return list(dict.fromkeys(x for x in spoken if x))
