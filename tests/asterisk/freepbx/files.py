"""The PBX's files below /etc/asterisk: its own, and the administrator's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.asterisk.freepbx.dialplan import extensions_additional
from tests.asterisk.freepbx.model import Pbx, Queue

ETC = Path(__file__).with_name("etc")

#: Created empty by the installation, and never written again.
CUSTOM = (
    "extensions_override_freepbx.conf",
    "extensions_custom.conf",
    "globals_custom.conf",
    "queues_custom_general.conf",
    "queues_custom.conf",
    "queues_post_custom.conf",
    "features_general_custom.conf",
    "features_applicationmap_custom.conf",
    "features_featuremap_custom.conf",
    "http_custom.conf",
    "ari_general_custom.conf",
    "ari_additional_custom.conf",
    "manager_custom.conf",
    "pjsip_custom.conf",
    "pjsip_custom_post.conf",
    *(
        f"pjsip.{part}_custom{post}.conf"
        for part in ("transports", "endpoint", "aor", "auth", "registration", "identify")
        for post in ("", "_post")
    ),
)


def written(pbx: Pbx, values: Mapping[str, str]) -> dict[str, str]:
    """What *Apply Config* writes, by file name.

    ``values``: what the machine has: BIND, SIP_PORT, HTTP_PORT, AMI_PORT, MEDIA, ADMIN_SECRET,
    ARI_SECRET, FASTAGI.
    """
    found = {
        file.name: _filled(file.read_text(), values)
        for file in ETC.glob("*.conf")
        if file.name not in ("macros.conf", "voicemail.conf")
    }
    mailboxes = "\n".join(
        f"{user.number} => {user.number},{user.name},,," for user in pbx.users if user.voicemail
    )
    voicemail = (ETC / "voicemail.conf").read_text()
    found["voicemail.conf"] = _filled(voicemail, {**values, "MAILBOXES": mailboxes})
    found["vm_general.inc"] = "format = wav\nmaxsecs = 60\nminsecs = 1\nskipms = 3000\n"
    found["extensions_additional.conf"] = extensions_additional(pbx, {"FASTAGI": values["FASTAGI"]})
    found |= _features(pbx)
    found |= _web(pbx, values)
    found |= _queues(pbx)
    found |= _pjsip(pbx, values)
    found["manager_additional.conf"] = ""
    return found


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _lines(**given: str) -> str:
    return "".join(f"{name}={value}\n" for name, value in given.items())


def _features(pbx: Pbx) -> dict[str, str]:
    codes = {name: pbx.code(name) for name in ("blindxfer", "atxfer", "disconnect")}
    record = pbx.code("automon")
    applications = f"apprecord=>{record},caller,Gosub(macro-one-touch-record,s,1)\n"
    return {
        "features_general_additional.conf": _lines(pickupexten=pbx.code("pickupexten")),
        "features_featuremap_additional.conf": _lines(**codes),
        "features_applicationmap_additional.conf": applications if record else "",
    }


def _web(pbx: Pbx, values: Mapping[str, str]) -> dict[str, str]:
    on = {True: "yes", False: "no"}
    return {
        "http_additional.conf": "[general]\n"
        + _lines(
            enabled=on[pbx.http],
            enablestatic="no",
            bindaddr="127.0.0.1",
            bindport=values["HTTP_PORT"],
            prefix="",
            sessionlimit="100",
            session_inactivity="30000",
            session_keep_alive="15000",
        ),
        "ari_general_additional.conf": _lines(
            enabled=on[pbx.ari], pretty="no", websocket_write_timeout="100", allowed_origins=""
        ),
        "ari_additional.conf": "[freepbxuser]\n"
        + _lines(
            type="user", password=values["ARI_SECRET"], password_format="plain", read_only="no"
        ),
    }


def _queues(pbx: Pbx) -> dict[str, str]:
    on = {True: "yes", False: "no"}
    general = (
        _lines(
            persistentmembers=on[pbx.persistent_members],
            shared_lastcall=on[pbx.shared_lastcall],
            updatecdr="no",
        )
        + "monitor-type=MixMonitor\n"
    )
    queues = "\n".join(_queue(pbx, queue) for queue in pbx.queues)
    return {"queues_general_additional.conf": general, "queues_additional.conf": queues}


def _queue(pbx: Pbx, queue: Queue) -> str:
    options = {
        "announce-frequency": "0",
        "announce-holdtime": "no",
        "announce-position": "no",
        "autofill": "yes",
        "autopause": "no",
        "joinempty": "yes",
        "leavewhenempty": "no",
        "maxlen": "0",
        "memberdelay": "0",
        "penaltymemberslimit": "0",
        "periodic-announce-frequency": "0",
        "queue-callswaiting": "silence/1",
        "queue-thereare": "silence/1",
        "queue-youarenext": "silence/1",
        "reportholdtime": "no",
        "retry": str(queue.retry),
        "ringinuse": "no",
        "servicelevel": "60",
        "strategy": queue.strategy,
        "timeout": str(queue.timeout),
        "timeoutpriority": "app",
        "timeoutrestart": "no",
        "weight": "0",
        "wrapuptime": str(queue.wrapuptime),
        "context": "",
    }
    members = [
        f'member=Local/{n}@from-queue/n,0,"{pbx.user(n).name}",hint:{n}@ext-local'
        if any(user.number == n for user in pbx.users)
        else f"member=Local/{n}@from-queue/n,0"
        for n in queue.static
    ]
    lines = [f"[{queue.number}]", *(f"{key}={value}" for key, value in options.items()), *members]
    return "\n".join(lines) + "\n"


_PJSIP_PARTS = ("transports", "endpoint", "aor", "auth", "registration", "identify")


def _pjsip(pbx: Pbx, values: Mapping[str, str]) -> dict[str, str]:
    pieces = [
        name for part in _PJSIP_PARTS for name in (f"pjsip.{part}", f"pjsip.{part}_custom_post")
    ]
    main = "".join(f"#include {name}.conf\n" for name in ("pjsip_custom", *pieces))
    main += (
        "[global]\ntype=global\nuser_agent=FPBX-17.0.19(22.10.1)\nkeep_alive_interval=90\n"
        "taskprocessor_overload_trigger=pjsip_only\n#include pjsip_custom_post.conf\n"
    )
    found = {"pjsip.conf": main}
    parts = {part: [f"#include pjsip.{part}_custom.conf"] for part in _PJSIP_PARTS}
    parts["transports"] += [
        f"[0.0.0.0-udp]\ntype=transport\nprotocol=udp\nbind={values['BIND']}:{values['SIP_PORT']}"
    ]
    for device in pbx.devices:
        parts["endpoint"].append(
            f"[{device.id}]\ntype=endpoint\naors={device.id}\nauth={device.id}-auth\n"
            "tos_audio=ef\nallow=ulaw\ncontext=from-internal\n"
            f"callerid=device <{device.id}>\ndtmf_mode=rfc4733\ndirect_media=no\n"
            f"mailboxes={device.user or device.id}@default\naggregate_mwi=yes\n"
            "trust_id_inbound=yes\nsend_connected_line=no\nuser_eq_phone=no\n"
            "rtp_timeout=30\nrtp_timeout_hold=300\nrtp_keepalive=0\ntimers=yes\ntimers_min_se=90\n"
            f"send_pai=yes\nrtp_symmetric=yes\nrewrite_contact=yes\nforce_rport=yes\n"
            f"language=en\none_touch_recording=on\nrecord_on_feature=apprecord\n"
            f"record_off_feature=apprecord\n{values['MEDIA']}"
        )
        parts["auth"].append(
            f"[{device.id}-auth]\ntype=auth\nauth_type=userpass\n"
            f"password=pw-{device.id}\nusername={device.id}"
        )
        parts["aor"].append(
            f"[{device.id}]\ntype=aor\nmax_contacts=1\nremove_existing=yes\n"
            f"maximum_expiration=7200\nminimum_expiration=60\nqualify_frequency=60"
        )
    for trunk in pbx.trunks:
        parts["endpoint"].append(
            f"[{trunk}]\ntype=endpoint\ntransport=0.0.0.0-udp\ncontext=from-pstn\ndisallow=all\n"
            f"allow=ulaw\naors={trunk}\nsend_connected_line=no\nrtp_keepalive=0\nlanguage=en\n"
            f"outbound_auth={trunk}\nauth={trunk}\ndtmf_mode=auto\ndirect_media=no\n"
            f"rtp_symmetric=yes\n{values['MEDIA']}"
        )
        parts["auth"].append(
            f"[{trunk}]\ntype=auth\nauth_type=userpass\npassword=pw-{trunk}\nusername={trunk}"
        )
        parts["aor"].append(
            f"[{trunk}]\ntype=aor\nqualify_frequency=60\nmax_contacts=1\nremove_existing=yes"
        )
    for part, sections in parts.items():
        found[f"pjsip.{part}.conf"] = "\n\n".join(sections) + "\n"
    return found


def database(pbx: Pbx) -> dict[str, str]:
    """The rows of AstDB, as `family/key` and value, that say what the PBX is."""
    rows: dict[str, str] = {}
    for user in pbx.users:
        n = user.number
        rows[f"AMPUSER/{n}/cidname"] = user.name
        rows[f"AMPUSER/{n}/cidnum"] = n
        rows[f"AMPUSER/{n}/device"] = "&".join(pbx.devices_of(n))
        rows[f"AMPUSER/{n}/ringtimer"] = str(user.ring_seconds)
        rows[f"AMPUSER/{n}/voicemail"] = "default" if user.voicemail else "novm"
        rows[f"AMPUSER/{n}/answermode"] = "disabled"
        rows[f"AMPUSER/{n}/recording"] = ""
        rows[f"CW/{n}"] = "ENABLED"
    for device in pbx.devices:
        rows[f"DEVICE/{device.id}/dial"] = f"PJSIP/{device.id}"
        rows[f"DEVICE/{device.id}/type"] = device.kind
        rows[f"DEVICE/{device.id}/default_user"] = device.user
        rows[f"DEVICE/{device.id}/user"] = device.user or "none"
    for queue in pbx.queues:
        rows[f"QPENALTY/{queue.number}/dynmemberonly"] = "no"
        for agent in queue.dynamic:
            rows[f"QPENALTY/{queue.number}/agents/{agent}"] = "0"
    return rows
