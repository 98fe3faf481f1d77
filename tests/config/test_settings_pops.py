"""What an administrator may write about screen pops and the webhook."""

from __future__ import annotations

import pytest

from asterisk_avp.pops.publish import header_of
from tests.config.test_settings import NEEDED, load, problems

WEBHOOK = {"AVP_WEBHOOK__URL": "https://crm.example/hook", "AVP_WEBHOOK__SECRET": "hook-hush"}


def test_defaults() -> None:
    settings = load(NEEDED)
    assert settings.webhook.url is None
    assert settings.pop.sip_headers == settings.pop.keys == ()
    assert settings.world().groups["sales"].pop_url is None


def test_all_of_it() -> None:
    settings = load(
        NEEDED
        | WEBHOOK
        | {
            "AVP_GROUPS__SALES__POP_URL": "https://crm.example/{customer_id}",
            "AVP_POP__SIP_HEADERS": "customer_id, order",
            "AVP_POP__KEYS": "order,customer_id",
            "AVP_WEBHOOK__TIMEOUT_SECONDS": "1.5",
            "AVP_WEBHOOK__ATTEMPTS": "3",
            "AVP_WEBHOOK__RETRY_MAX_SECONDS": "10",
            "AVP_WEBHOOK__QUEUE_SIZE": "50",
        }
    )
    assert settings.world().groups["sales"].pop_url == "https://crm.example/{customer_id}"
    assert settings.pop.sip_headers == ("customer_id", "order")
    assert settings.pop.keys == ("order", "customer_id")
    assert settings.webhook.url is not None
    assert settings.webhook.url.get_secret_value() == "https://crm.example/hook"
    assert (settings.webhook.attempts, settings.webhook.queue_size) == (3, 50)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("AVP_GROUPS__SALES__POP_URL", "https://{host}/", "http:// or https:// address"),
        ("AVP_GROUPS__SALES__POP_URL", "javascript:x", "http:// or https:// address"),
        ("AVP_GROUPS__SALES__POP_URL", "https://a:b@c/{d}", "credentials"),
        ("AVP_POP__SIP_HEADERS", "order:X", "a key of a screen pop"),
        ("AVP_POP__KEYS", "order,two words", "a key of a screen pop"),
        ("AVP_POP__SIP_HEADERS", "a\r\nb", "a key of a screen pop"),
        ("AVP_POP__SIP_HEADERS", ",".join(f"k{i}" for i in range(17)), "at most 16"),
        ("AVP_WEBHOOK__URL", "crm.example", "http:// or https:// address"),
        ("AVP_WEBHOOK__URL", "https://a:hush@crm.example/", "credentials"),
        ("AVP_WEBHOOK__ATTEMPTS", "0", "greater than or equal to 1"),
        ("AVP_WEBHOOK__QUEUE_SIZE", "0", "greater than or equal to 1"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str, says: str) -> None:
    [line] = problems(NEEDED | WEBHOOK | {name: value})
    assert line.startswith(name)
    assert says in line
    assert "hush" not in line


def test_a_webhook_is_signed() -> None:
    assert problems(NEEDED | {"AVP_WEBHOOK__URL": "https://crm.example/hook"}) == [
        "AVP_WEBHOOK__SECRET: is required"
    ]


def test_secrets_are_in_no_text() -> None:
    settings = load(NEEDED | WEBHOOK)
    assert "hook" not in repr(settings.webhook.url)
    assert "hush" not in repr(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("key", "header"),
    [("customer_id", "X-AVP-Customer-Id"), ("order", "X-AVP-Order"), ("a__b_", "X-AVP-A-B")],
)
def test_names_of_headers(key: str, header: str) -> None:
    assert header_of(key) == header
