"""The settings that an administrator may write, their effect, and the messages about faults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asterisk_avp.config.settings import Settings
from asterisk_avp.config.sources import Inputs, read_inputs, variable
from asterisk_avp.core.model.errors import ConfigError
from asterisk_avp.core.model.features import Features, MaxHoldAction
from asterisk_avp.core.model.world import ConfiguredAgent, Group, World

CONNECTIONS = {
    "AVP_ARI__URL": "http://127.0.0.1:8088",
    "AVP_ARI__USERNAME": "avp",
    "AVP_ARI__PASSWORD": "ari-hush",
    "AVP_AMI__USERNAME": "avp",
    "AVP_AMI__SECRET": "ami-hush",
}
NEEDED = CONNECTIONS | {"AVP_GROUPS__SALES__QUEUE": "sales"}
NOWHERE = Path("/nonexistent")


def load(
    environ: dict[str, str],
    directory: Path = NOWHERE,
    *,
    connect: bool = True,
    whole: bool = False,
) -> Settings:
    return Settings.load(environ, directory, connect=connect, whole=whole)


def problems(environ: dict[str, str], directory: Path = NOWHERE, **more: bool) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(environ, directory, **more)
    first, *lines = str(raised.value).splitlines()
    assert first.startswith("the configuration has")
    return [line.strip() for line in lines]


# --- what is needed, and the defaults --------------------------------------------------------


def test_defaults() -> None:
    settings = load(NEEDED)
    assert settings.ari.url == "http://127.0.0.1:8088/ari"
    assert settings.ari.app == "asterisk_avp"
    assert (settings.ami.host, settings.ami.port) == ("127.0.0.1", 5038)
    assert (settings.api.host, settings.api.port, settings.api.tokens) == ("127.0.0.1", 8766, ())
    assert (settings.log.level, settings.log.format) == ("info", "text")
    assert settings.world().groups == {"sales": Group(id="sales", queue="sales", name="sales")}


def test_the_daemon_needs_credentials_and_a_group_but_render_does_not() -> None:
    assert problems({}) == [
        "AVP_AMI__SECRET: is required",
        "AVP_AMI__USERNAME: is required",
        "AVP_ARI__PASSWORD: is required",
        "AVP_ARI__USERNAME: is required",
        "AVP_GROUPS__<ID>__QUEUE: at least one group is required",
    ]
    assert load({}, connect=False).groups == {}


def test_an_empty_variable_is_not_set() -> None:
    assert problems(NEEDED | {"AVP_ARI__PASSWORD": ""}) == ["AVP_ARI__PASSWORD: is required"]
    assert load(NEEDED | {"AVP_API__PORT": "", "AVP_FOO": ""}).api.port == 8766


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://pbx:8088", "http://pbx:8088/ari"),
        ("http://pbx:8088/", "http://pbx:8088/ari"),
        ("https://pbx/asterisk/ari/", "https://pbx/asterisk/ari"),
        ("https://pbx/asterisk", "https://pbx/asterisk/ari"),
    ],
)
def test_the_address_of_ari(written: str, meant: str) -> None:
    assert load(NEEDED | {"AVP_ARI__URL": written}).ari.url == meant


# --- ids, groups, agents ---------------------------------------------------------------------


def test_ids_of_groups_lose_their_case_and_ids_of_agents_keep_it() -> None:
    settings = load(
        CONNECTIONS
        | {
            "AVP_GROUPS__SALES__QUEUE": "Sales-Queue",
            "AVP_GROUPS__Sales__NAME": "Sales & Co",
            "AVP_GROUPS__SALES__ACCOUNT": "ACME",
            "AVP_ACCOUNTS__ACME__COUNTRY": "us",
            "AVP_AGENTS__Alice__GROUPS": "SALES",
            "AVP_AGENTS__1001__NAME": "Zoë",
            "AVP_AGENTS__1001__COUNTRY": "ca",
            "AVP_AGENTS__1001__INTERFACE": "Local/1001@agents/n",
        }
    )
    world = settings.world()
    assert world.groups == {
        "sales": Group(
            id="sales",
            queue="Sales-Queue",
            name="Sales & Co",
            account="acme",
            features=Features(country="US"),
        )
    }
    assert world.agents == {
        "1001": ConfiguredAgent("1001", "Zoë", "Local/1001@agents/n", "CA", ()),
        "Alice": ConfiguredAgent("Alice", groups=("sales",)),
    }
    assert settings.accounts["acme"].country == "US"


def test_the_queue_of_a_group_is_named_as_the_group_unless_told_otherwise() -> None:
    settings = load(CONNECTIONS | {"AVP_GROUPS__NORTH-EAST__ACW_SECONDS": "30"})
    group = settings.world().groups["north-east"]
    assert (group.queue, group.acw_seconds) == ("north-east", 30)


def test_lists_are_comma_separated_or_json() -> None:
    groups = {"AVP_GROUPS__SUPPORT__QUEUE": "support", "AVP_AGENTS__1__GROUPS": " sales, SUPPORT ,"}
    assert load(NEEDED | groups).agents["1"].groups == ("sales", "support")
    for tokens in ("one,two", '["one", "two"]'):
        found = load(NEEDED | {"AVP_API__TOKENS": tokens}).api.tokens
        assert [token.get_secret_value() for token in found] == ["one", "two"]


# --- three levels ----------------------------------------------------------------------------

LEVELS = {
    "enterprise": "AVP_ENTERPRISE__",
    "account": "AVP_ACCOUNTS__ACME__",
    "group": "AVP_GROUPS__SALES__",
}


@given(
    seconds=st.dictionaries(st.sampled_from(sorted(LEVELS)), st.integers(1, 86_400)),
    actions=st.dictionaries(st.sampled_from(sorted(LEVELS)), st.sampled_from(list(MaxHoldAction))),
)
def test_the_nearest_explicit_maximum_hold_wins(
    seconds: dict[str, int], actions: dict[str, MaxHoldAction]
) -> None:
    environ = NEEDED | {
        "AVP_GROUPS__SALES__ACCOUNT": "acme",
        "AVP_ACCOUNTS__ACME__CONTRACTED": "yes",
        "AVP_GROUPS__OTHER__QUEUE": "other",
    }
    environ |= {LEVELS[level] + "MAX_HOLD_SECONDS": str(value) for level, value in seconds.items()}
    environ |= {LEVELS[level] + "MAX_HOLD_ACTION": str(value) for level, value in actions.items()}
    groups = load(environ).world().groups
    nearest = [level for level in ("group", "account", "enterprise") if level in seconds]
    assert groups["sales"].max_hold_seconds == (seconds[nearest[0]] if nearest else 120)
    nearest = [level for level in ("group", "account", "enterprise") if level in actions]
    assert groups["sales"].max_hold_action == (actions[nearest[0]] if nearest else "hangup")
    # A group without an account has only the enterprise above it.
    assert groups["other"].max_hold_seconds == seconds.get("enterprise", 120)


@pytest.mark.parametrize("prefix", LEVELS.values())
@pytest.mark.parametrize(
    "name",
    [
        *("session_transfer", "internal_transfer", "external_transfer", "manual_dial", "presets"),
        *("unsupervised_transfer", "conference", "toll_free_service", "toll_service"),
        "strict_landline",
    ],
)
def test_every_feature_can_be_set_at_every_level(prefix: str, name: str) -> None:
    acme = {"AVP_GROUPS__SALES__ACCOUNT": "acme", "AVP_ACCOUNTS__ACME__COUNTRY": "US"}
    external = {} if name == "external_transfer" else {prefix + "EXTERNAL_TRANSFER": "yes"}
    for text, value in (("true", True), ("false", False), ("on", True), ("0", False)):
        settings = load(NEEDED | acme | external | {prefix + name.upper(): text})
        levels = [settings.enterprise, settings.accounts.get("acme"), settings.groups["sales"]]
        found = [getattr(level, name) for level in levels if level is not None]
        assert [x for x in found if x is not None] == [value]
        assert settings.features("sales").origins[name] == prefix + name.upper()


@pytest.mark.parametrize("prefix", LEVELS.values())
def test_recordings_can_be_paused_at_every_level(prefix: str) -> None:
    acme = {"AVP_GROUPS__SALES__ACCOUNT": "acme"}
    assert load(NEEDED | acme).features("sales").consult_recording == "continue"
    for value in ("pause", "restart", "continue"):
        features = load(NEEDED | acme | {prefix + "CONSULT_RECORDING": value}).features("sales")
        assert features.consult_recording == value
        assert features.origins["consult_recording"] == prefix + "CONSULT_RECORDING"
    with pytest.raises(ConfigError) as error:
        load(NEEDED | acme | {prefix + "CONSULT_RECORDING": "off"})
    assert "'continue', 'pause' or 'restart', not 'off'" in str(error.value)


@pytest.mark.parametrize("prefix", LEVELS.values())
def test_how_external_targets_accept_can_be_set_at_every_level(prefix: str) -> None:
    acme = {"AVP_GROUPS__SALES__ACCOUNT": "acme", "AVP_ACCOUNTS__ACME__COUNTRY": "US"}
    assert load(NEEDED | acme).features("sales").external_accept == "none"
    for value in ("press1", "none"):
        features = load(NEEDED | acme | {prefix + "EXTERNAL_ACCEPT": value}).features("sales")
        assert features.external_accept == value
        assert features.origins["external_accept"] == prefix + "EXTERNAL_ACCEPT"
    with pytest.raises(ConfigError) as error:
        load(NEEDED | acme | {prefix + "EXTERNAL_ACCEPT": "press2"})
    assert f"{prefix}EXTERNAL_ACCEPT: " in str(error.value)
    assert "'none' or 'press1', not 'press2'" in str(error.value)


@pytest.mark.parametrize("prefix", LEVELS.values())
def test_land_lines_and_territories_can_be_set_at_every_level(prefix: str) -> None:
    acme = {"AVP_GROUPS__SALES__ACCOUNT": "acme", "AVP_ACCOUNTS__ACME__COUNTRY": "US"}
    usual = load(NEEDED | acme).features("sales")
    assert usual.landline_types == ("fixed_line", "fixed_line_or_mobile")
    assert usual.domestic_territories == ()
    texts = {"LANDLINE_TYPES": "fixed_line, UAN,uan", "DOMESTIC_TERRITORIES": "pr, VI"}
    features = load(NEEDED | acme | {prefix + name: text for name, text in texts.items()}).features(
        "sales"
    )
    assert features.landline_types == ("fixed_line", "uan")
    assert features.domestic_territories == ("PR", "VI")
    for name in texts:
        assert features.origins[name.lower()] == prefix + name
    for name, text, said in (
        ("LANDLINE_TYPES", "fixed_line,toll_free", "not 'toll_free'"),
        ("LANDLINE_TYPES", ",", "at least 1"),
        ("DOMESTIC_TERRITORIES", "PR,GB", "not 'GB'"),
    ):
        with pytest.raises(ConfigError) as error:
            load(NEEDED | acme | {prefix + name: text})
        assert f"{prefix}{name}: " in str(error.value)
        assert said in str(error.value)


def test_presets() -> None:
    preset = load(
        NEEDED
        | {
            "AVP_PRESETS__BILLING__NUMBER": "+442079460000",
            "AVP_PRESETS__BILLING__GROUP": "Sales",
            "AVP_PRESETS__BILLING__NAME": "Billing",
        }
    ).presets["billing"]
    assert (preset.number, preset.group, preset.name) == ("+442079460000", "sales", "Billing")


@pytest.mark.parametrize(
    ("environ", "lines"),
    [
        (
            {"AVP_ENTERPRISE__MANUAL_DIAL": "yes"},
            [
                (
                    "AVP_ENTERPRISE__MANUAL_DIAL: manual dial needs external transfer, which is"
                    " off by default (AVP_ENTERPRISE__EXTERNAL_TRANSFER is not set)"
                )
            ],
        ),
        (
            {
                "AVP_GROUPS__SALES__MANUAL_DIAL": "yes",
                "AVP_ENTERPRISE__EXTERNAL_TRANSFER": "no",
            },
            [
                (
                    "AVP_GROUPS__SALES__MANUAL_DIAL: manual dial needs external transfer, which"
                    " is off by AVP_ENTERPRISE__EXTERNAL_TRANSFER"
                )
            ],
        ),
        (
            {"AVP_GROUPS__SALES__ACCOUNT": "acme", "AVP_ENTERPRISE__EXTERNAL_TRANSFER": "yes"},
            [
                (
                    "AVP_ACCOUNTS__ACME__COUNTRY: is required, because"
                    " AVP_ENTERPRISE__EXTERNAL_TRANSFER enables external transfer"
                )
            ],
        ),
        (
            {"AVP_ENTERPRISE__EXTERNAL_TRANSFER": "yes", "AVP_ACCOUNTS__ACME__COUNTRY": "US"},
            [
                (
                    "AVP_GROUPS__SALES__ACCOUNT: is required, because"
                    " AVP_ENTERPRISE__EXTERNAL_TRANSFER enables external transfer, which needs"
                    " the country of the group's account (AVP_ACCOUNTS__<ID>__COUNTRY)"
                )
            ],
        ),
    ],
)
def test_policy_that_contradicts_itself(environ: dict[str, str], lines: list[str]) -> None:
    assert problems(NEEDED | environ) == lines


def test_a_wrong_country_is_not_also_a_missing_one() -> None:
    acme = {
        "AVP_GROUPS__SALES__ACCOUNT": "acme",
        "AVP_ACCOUNTS__ACME__COUNTRY": "UK",
        "AVP_ENTERPRISE__EXTERNAL_TRANSFER": "yes",
    }
    (line,) = problems(NEEDED | acme)
    assert line.startswith("AVP_ACCOUNTS__ACME__COUNTRY: must be a country")


@pytest.mark.parametrize(
    ("country", "number", "fault"),
    [
        ("GB", "020 7946 0000", ""),
        ("GB", "+1 202 555 0100", ""),  # another country's number: decided for each call
        ("GB", "+44 7911 123456", ""),  # a mobile number: likewise
        ("GB", "020 7946", "invalid_format in GB"),
        ("US", "020 7946 0000", "invalid_format in US"),
        ("GB", "999", "emergency in GB"),
        ("GB", "PJSIP/1001", "invalid_format in GB"),
        ("", "+44 20 7946 0000", ""),
        ("", "+44 20 7946", "invalid_format: "),
        ("", "020 7946 0000", ""),  # no country to parse it in
    ],
)
def test_the_number_of_a_preset_is_one_in_its_groups_country(
    country: str, number: str, fault: str
) -> None:
    environ = NEEDED | {
        "AVP_GROUPS__SALES__ACCOUNT": "acme",
        "AVP_ACCOUNTS__ACME__CONTRACTED": "yes",
        "AVP_ACCOUNTS__ACME__COUNTRY": country,
        "AVP_PRESETS__BILLING__NUMBER": number,
        "AVP_PRESETS__BILLING__GROUP": "sales",
    }
    if not fault:
        assert load(environ).presets["billing"].number == number
        return
    (line,) = problems(environ)
    assert line.startswith(f"AVP_PRESETS__BILLING__NUMBER: {fault}")


def test_inherited_manual_dial_under_a_disabled_external_transfer_is_off() -> None:
    features = load(
        NEEDED
        | {
            "AVP_GROUPS__SALES__ACCOUNT": "acme",
            "AVP_ACCOUNTS__ACME__COUNTRY": "US",
            "AVP_ENTERPRISE__EXTERNAL_TRANSFER": "yes",
            "AVP_ENTERPRISE__MANUAL_DIAL": "yes",
            "AVP_GROUPS__SALES__EXTERNAL_TRANSFER": "no",
        }
    ).features("sales")
    assert features.manual_dial is False
    assert features.origins["manual_dial"] == "AVP_GROUPS__SALES__EXTERNAL_TRANSFER"


# --- where it comes from ---------------------------------------------------------------------

TOML = """
[ari]
username = "from-toml"
password = "ari-hush"
[ami]
username = "avp"
secret = "ami-hush"
port = 5039
[groups.Sales]
[groups.support]
queue = "support"
acw_seconds = 7
[agents.1001]
groups = ["sales", "support"]
"""


def test_environment_over_dotenv_over_toml(tmp_path: Path) -> None:
    (tmp_path / "avp.toml").write_text(TOML)
    (tmp_path / ".env").write_text(
        "AVP_CONFIG=avp.toml\nAVP_ARI__USERNAME='from dotenv $HOME'\nAVP_AMI__PORT=5040\n"
        "COMPOSE_PROJECT_NAME=x\nAVP_URL=http://x\n"
    )
    settings = load({"AVP_AMI__PORT": "5041"}, tmp_path)
    assert settings.ami.port == 5041
    assert settings.ari.username == "from dotenv $HOME"
    assert settings.groups["support"].acw_seconds == 7
    assert settings.world().groups["sales"].queue == "sales"
    assert settings.agents["1001"].groups == ("sales", "support")


WORLD = {
    "AVP_ACCOUNTS__ACME__COUNTRY": "US",
    "AVP_ACCOUNTS__ACME__EXTERNAL_TRANSFER": "true",
    "AVP_ACCOUNTS__ACME__EXTERNAL_ACCEPT": "press1",
    "AVP_ENTERPRISE__MAX_HOLD_SECONDS": "30",
    "AVP_ENTERPRISE__PRESETS": "true",
    "AVP_GROUPS__SALES__ACCOUNT": "acme",
    "AVP_GROUPS__SALES__MANUAL_DIAL": "true",
    "AVP_GROUPS__SALES__EXTENSION": "800",
    "AVP_GROUPS__SUPPORT__QUEUE": "help-desk",
    "AVP_PRESETS__BILLING__NUMBER": "+12025550101",
    "AVP_PRESETS__BILLING__GROUP": "support",
    "AVP_PRESETS__BILLING__CODE": "91",
    "AVP_AGENTS__1001__NAME": "Alice",
    "AVP_AGENTS__1001__GROUPS": "sales,support",
}
WORLD_TOML = """
[accounts.acme]
country = "US"
external_transfer = true
external_accept = "press1"
[enterprise]
max_hold_seconds = 30
presets = true
[groups.sales]
account = "acme"
manual_dial = true
extension = "800"
[groups.support]
queue = "help-desk"
[presets.billing]
number = "+12025550101"
group = "support"
code = "91"
[agents.1001]
name = "Alice"
groups = ["sales", "support"]
"""


def test_the_same_settings_by_any_way_are_the_same(tmp_path: Path) -> None:
    """Environment, .env and TOML give the same world, except for the origins of values."""
    toml, dotenv = tmp_path / "avp.toml", tmp_path / "there"
    toml.write_text(WORLD_TOML)
    dotenv.mkdir()
    (dotenv / ".env").write_text("".join(f"{name}={value}\n" for name, value in WORLD.items()))
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    ways = [
        Settings.load(WORLD, nowhere, connect=False),
        Settings.load({}, dotenv, connect=False),
        Settings.load({"AVP_CONFIG": str(toml)}, nowhere, connect=False),
    ]
    first, *others = [without_origins(settings.world()) for settings in ways]
    assert first.groups["sales"].features.external_transfer
    assert others == [first, first]


def without_origins(world: World) -> World:
    groups = {
        name: replace(group, features=replace(group.features, origins={}))
        for name, group in world.groups.items()
    }
    return replace(world, groups=groups)


def test_the_process_environment_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AVP_API__PORT", "1234")
    assert Settings.load().api.port == 1234
    assert Settings().api.port == 1234


def test_faults_in_files_name_variable_and_place(tmp_path: Path) -> None:
    (tmp_path / "avp.toml").write_text(TOML + "[api]\nport = 1\nPort = 'x'\n[nonsense]\na = 1\n")
    (tmp_path / ".env").write_text("AVP_LOG__LEVEL=loud\n")
    found = problems({"AVP_CONFIG": "avp.toml"}, tmp_path)
    assert len(found) == 4
    text = "\n".join(found)
    assert ": input should be a valid integer" in text
    assert (
        "AVP_API__PORT (api.Port in avp.toml): also set as AVP_API__PORT (api.port in avp.toml)"
        in text
    )
    assert "AVP_NONSENSE__A (nonsense.a in avp.toml): unknown setting" in text
    assert "AVP_LOG__LEVEL (in .env): input should be 'debug'" in text


def test_a_toml_file_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[groups\n")
    assert "is not valid TOML" in problems(NEEDED | {"AVP_CONFIG": "bad.toml"}, tmp_path)[0]
    (tmp_path / "latin.toml").write_bytes(b"# \xe9\n")
    assert "is not valid TOML" in problems(NEEDED | {"AVP_CONFIG": "latin.toml"}, tmp_path)[0]
    for name in ("none.toml", "."):
        found = problems(NEEDED | {"AVP_CONFIG": name}, tmp_path)
        assert len(found) == 1
        assert found[0].startswith("AVP_CONFIG: ")
    (tmp_path / ".env").write_bytes(b"AVP_LOG__LEVEL=\xff\n")
    assert "cannot be read" in problems(NEEDED, tmp_path)[0]


def test_variables_that_are_no_settings_are_left_alone() -> None:
    others = {
        "AVP_URL": "http://127.0.0.1:8766",
        "AVP_TOKEN": "x",
        "AVP_CACHE": "/var/cache/avp",
        "AVP_BED_PORTS": "1",
        "AVP_SIP": "127.0.0.1:5060",
        "AVP_ARI": "http://127.0.0.1:8088/ari",
        "AVP_ARI_USER": "x",
        "AVP_ARI_PASSWORD": "x",
        "AVP_AMI": "127.0.0.1:5038",
        "AVP_AMI_SECRET": "x",
        "PATH": "/bin",
        "XAVP_FOO": "1",
    }
    assert load(NEEDED | others) == load(NEEDED)


@pytest.mark.parametrize("name", ["AVP_LOG_NUMBERS", "AVP_LOG__NUMBERS"])
def test_numbers_in_the_log_have_two_names(name: str, tmp_path: Path) -> None:
    assert load(NEEDED).log.numbers is False
    assert load(NEEDED | {name: "true"}).log.numbers is True
    assert problems(NEEDED | {name: "x"})[0].startswith(f"{name}: ")
    (tmp_path / ".env").write_text("AVP_LOG__NUMBERS=no\n")
    assert load(NEEDED | {name: "true"}, tmp_path).log.numbers is True
    both = NEEDED | {"AVP_LOG_NUMBERS": "yes", "AVP_LOG__NUMBERS": "no"}
    assert problems(both) == ["AVP_LOG__NUMBERS: also set as AVP_LOG_NUMBERS"] or problems(
        both
    ) == ["AVP_LOG_NUMBERS: also set as AVP_LOG__NUMBERS"]


# --- what is wrong ---------------------------------------------------------------------------


def test_all_problems_are_told_at_once() -> None:
    found = problems(
        CONNECTIONS
        | {
            "AVP_AMI__SECRET": "",
            "AVP_FOO": "1",
            "AVP_ARI_URL": "http://x",
            "AVP_GROUPS__SALES__QUEU": "sales",
            "AVP_GROUPS__OTHER__QUEUE": "Sales",
            "AVP_GROUPS__OTHER__EXTERNAL_TRANSFER": "maybe",
            "AVP_API__PORT": "70000",
            "AVP_AGENTS__7__GROUPS": "nope",
            "AVP_PRESETS__BILLING__GROUP": "sales",
            "AVP_LOG__LEVEL__X": "1",
        }
    )
    assert [line.split(":")[0] for line in found] == [
        "AVP_AGENTS__7__GROUPS",
        "AVP_AMI__SECRET",
        "AVP_API__PORT",
        "AVP_ARI_URL",
        "AVP_FOO",
        "AVP_GROUPS__OTHER__EXTERNAL_TRANSFER",
        "AVP_GROUPS__SALES__QUEU",
        "AVP_GROUPS__SALES__QUEUE",
        "AVP_LOG__LEVEL__X",
        "AVP_PRESETS__BILLING__NUMBER",
    ]
    text = "\n".join(found)
    assert "did you mean AVP_ARI__URL?" in text
    assert "did you mean AVP_GROUPS__SALES__QUEUE?" in text
    assert "not 'maybe'" in text


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AVP_GROUPS__A B__QUEUE", "q", "must be an id"),
        ("AVP_GROUPS__-A__QUEUE", "q", "must be an id"),
        ("AVP_GROUPS__SALES__QUEUE", "a,b", "must be a queue name"),
        ("AVP_GROUPS__SALES__QUEUE", "q\r\nAction: Logoff", "must be a queue name"),
        ("AVP_GROUPS__SALES__QUEUE", "avp-agent-1", "personal"),
        ("AVP_GROUPS__SALES__ACW_SECONDS", "-1", "greater than or equal to 0"),
        ("AVP_GROUPS__SALES__MAX_HOLD_SECONDS", "0", "greater than or equal to 1"),
        ("AVP_GROUPS__SALES__MAX_HOLD_SECONDS", "2.5", "integer"),
        ("AVP_GROUPS__SALES__MAX_HOLD_ACTION", "drop", "'hangup', 'return' or 'group'"),
        ("AVP_GROUPS__SALES__EXTENSION", "8 0", "extension"),
        ("AVP_GROUPS__SALES__NAME", "a\nb", "control characters"),
        ("AVP_AGENTS__9", "x", "AVP_AGENTS__9__NAME"),
        ("AVP_PRESETS", "{}", "AVP_PRESETS__<ID>__NUMBER"),
        ("AVP_AGENTS__1/2__NAME", "x", "must be an agent id"),
        ("AVP_AGENTS__1__INTERFACE", "PJSIP", "PJSIP/1001"),
        ("AVP_AGENTS__1__INTERFACE", "PJSIP/1&PJSIP/2", "PJSIP/1001"),
        ("AVP_AGENTS__1__COUNTRY", "USA", "two letters"),
        ("AVP_AGENTS__1__GROUPS", "['sales'", "JSON list"),
        ("AVP_ACCOUNTS__ACME__COUNTRY", "1", "two letters"),
        ("AVP_ACCOUNTS__ACME__COUNTRY", "UK", "numbering plan"),
        ("AVP_AGENTS__1__COUNTRY", "ZZ", "numbering plan"),
        ("AVP_ACCOUNTS__ACME__CONTRACTED", "perhaps", "boolean"),
        ("AVP_ENTERPRISE__CONTRACTED", "true", "unknown setting"),
        ("AVP_ARI__URL", "127.0.0.1:8088", "http://"),
        ("AVP_ARI__URL", "http://u:ari-hush@127.0.0.1", "credentials"),
        ("AVP_ARI__URL", "http://pbx/?api_key=ari-hush", "end with the path"),
        ("AVP_ARI__APP", "other", "asterisk_avp"),
        ("AVP_ARI__REQUEST_TIMEOUT_SECONDS", "nan", "finite"),
        ("AVP_AMI__PORT", "0", "greater than or equal to 1"),
        ("AVP_API__HOST", "a b", "host"),
        ("AVP_LOG__FORMAT", "xml", "'text' or 'json'"),
        ("AVP_KEYS__SWAP", "*A", "a code of 1 to 6 keys"),
        ("AVP_KEYS__SWAP", "*123456", "a code of 1 to 6 keys"),
        ("AVP_KEYS__BACK", "*", "unknown setting"),
        ("AVP___X", "1", "unknown setting"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str, says: str) -> None:
    found = problems(NEEDED | {name: value})
    assert len(found) == 1, found
    assert found[0].startswith(f"{name}: ")
    assert says in found[0]
    assert "hush" not in found[0]


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (
            {"AVP_GROUPS__OTHER__QUEUE": "SALES"},
            (
                "AVP_GROUPS__SALES__QUEUE: queue 'sales' already belongs to a group"
                " (AVP_GROUPS__OTHER__QUEUE)"
            ),
        ),
        (
            {"AVP_KEYS__SWAP": "*2"},
            "AVP_KEYS__SWAP: '*2' begins with '*2' (AVP_KEYS__CANCEL)",
        ),
        (
            {"AVP_KEYS__COMPLETE": "*12", "AVP_KEYS__SWAP": "*1"},
            "AVP_KEYS__COMPLETE: '*12' begins with '*1' (AVP_KEYS__SWAP)",
        ),
        (
            {"AVP_PRESETS__P__CODE": "800"}
            | {"AVP_PRESETS__P__NUMBER": "+12025550101", "AVP_PRESETS__P__GROUP": "sales"}
            | {"AVP_GROUPS__SALES__EXTENSION": "800"},
            "AVP_PRESETS__P__CODE: '800' is already in use (AVP_GROUPS__SALES__EXTENSION)",
        ),
        (
            {"AVP_GROUPS__SALES__EXTENSION": "800", "AVP_AGENTS__800__NAME": "x"},
            "AVP_GROUPS__SALES__EXTENSION: '800' is already in use (AVP_AGENTS__800__NAME)",
        ),
        (
            {"AVP_GROUPS__SALES__ACCOUNT": "acmee", "AVP_ACCOUNTS__ACME__COUNTRY": "US"},
            "AVP_GROUPS__SALES__ACCOUNT: unknown account 'acmee' (known: acme)",
        ),
        (
            {"AVP_PRESETS__P__NUMBER": "1", "AVP_PRESETS__P__GROUP": "x"},
            "AVP_PRESETS__P__GROUP: unknown group 'x' (known: sales)",
        ),
        (
            {"AVP_AGENTS__1__GROUPS": "sales,x"},
            "AVP_AGENTS__1__GROUPS: unknown group 'x' (known: sales)",
        ),
        (
            {"AVP_AGENTS__bob__NAME": "1", "AVP_AGENTS__Bob__NAME": "2"},
            (
                "AVP_AGENTS__bob__NAME: differs from another agent only in case"
                " (AVP_AGENTS__Bob__NAME)"
            ),
        ),
        (
            {"AVP_GROUPS__sales__QUEUE": "x"},
            "AVP_GROUPS__sales__QUEUE: also set as AVP_GROUPS__SALES__QUEUE",
        ),
        (
            {"AVP_AMI__SECRET__X": "x"},
            "AVP_AMI__SECRET__X: contradicts AVP_AMI__SECRET, which sets one value for all of it",
        ),
    ],
)
def test_a_contradiction_names_both_sides(environ: dict[str, str], says: str) -> None:
    assert problems(NEEDED | environ) == [says]


def test_an_account_of_no_settings_needs_no_declaration() -> None:
    assert load(NEEDED | {"AVP_GROUPS__SALES__ACCOUNT": "acme"}).world().groups["sales"].account


# --- secrets, and what cannot be changed -----------------------------------------------------


def test_secrets_are_in_no_text() -> None:
    environ = NEEDED | {"AVP_API__TOKENS": "tok-hush", "AVP_AGENTS__1__PIN": "pin-hush"}
    settings = load(environ)
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump()} {settings.world()}"
    assert "hush" not in settings.model_dump_json()
    bad = {
        "AVP_API__TOKENS": "[tok-hush",
        "AVP_AGENTS__1__PINN": "pin-hush",
        "AVP_AMI__SECRETT": "ami-hush",
        "AVP_AGENTS__1__PIN__X": "pin-hush",
    }
    assert "hush" not in "\n".join(problems(environ | bad))


def test_settings_are_frozen() -> None:
    settings = load(NEEDED)
    with pytest.raises(ValueError, match="frozen"):
        settings.ami.port = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.log = settings.log  # type: ignore[misc]


NAMES = st.text("ABCXYZ_019", max_size=12).map(lambda tail: "AVP_" + tail)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_whatever_is_in_the_environment_either_loads_or_is_a_config_error(
    environ: dict[str, str],
) -> None:
    try:
        load(NEEDED | environ)
    except ConfigError as error:
        lines = str(error).splitlines()[1:]
    else:
        lines = []
    assert all(line.startswith("  AVP_") for line in lines)


@given(
    st.sampled_from(
        [
            ("groups", "sales", "queue"),
            ("agents", "Alice", "pin"),
            ("enterprise", "presets"),
            ("api", "port"),
        ]
    )
)
def test_names_and_places_in_the_tree_are_one_to_one(path: tuple[str, ...]) -> None:
    inputs = read_inputs({variable(path): "x"}, NOWHERE)
    node = inputs.tree
    for part in path:
        node = node[part]
    assert node == "x"
    assert inputs.name(path) == variable(path)


def test_names_are_looked_for_only_where_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each search of everything that was written would cost 15 seconds with 5,000 agents."""

    def no(_inputs: Inputs, path: tuple[str, ...]) -> str:
        raise AssertionError(f"asked for {path}")

    monkeypatch.setattr(Inputs, "name", no)
    agents = {f"AVP_AGENTS__{n}__NAME": "A" for n in range(1000, 1020)}
    assert len(load(NEEDED | agents).agents) == 20
