"""The section of the settings for the agent panel.

The docstring of a setting is its row in docs/configuration.md (`config.reference`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from asterisk_avp.config.sections import Section
from asterisk_avp.config.types import (
    CommaList,
    OriginList,
    PauseReason,
    ProxySecret,
    SignOutUrl,
    UserHeader,
    unique,
)


class PanelSettings(Section):
    """The page that agents work with."""

    frame_ancestors: OriginList = ()
    """Origins of pages that may embed the panel, separated by commas, e.g. `https://crm.example`.
    They may also exchange [messages](embedding.md) with it. Needs TLS."""
    user_header: UserHeader | None = None
    """The header in which a trusted proxy names the user, e.g. `X-Forwarded-Preferred-Username`.
    The panel then has [no log-in of its own](install.md#single-sign-on)."""
    user_header_secret: ProxySecret | None = None
    """A secret of at least 16 characters that the proxy sends in `X-AVP-Proxy-Secret`. Without it,
    the daemon then does not read `USER_HEADER`. [Needed](security.md#single-sign-on) where others
    use the proxy's machine."""
    sign_out_url: SignOutUrl | None = None
    """Where the panel's sign-out leads with `USER_HEADER`: the proxy's own sign-out, e.g.
    `/oauth2/sign_out`."""
    pause_reasons: Annotated[
        tuple[PauseReason, ...], CommaList, Field(max_length=20), AfterValidator(unique)
    ] = ("Break", "Lunch", "Meeting", "Training")
    """The reasons for a pause that the panel offers, separated by commas, at most 20. Asterisk
    writes the chosen one to `queue_log`."""
    other_pause_reasons: bool = True
    """Whether agents may also pause for another reason, which they type, or for none. Integrations
    always may."""
    acw_extension_seconds: Annotated[int, Field(ge=0, le=3600)] = 600
    """For how long agents may extend their after-call work altogether; 0: not at all."""
    language: Literal["browser", "de", "en", "es", "fr"] = "browser"
    """Language of the panel and of the API's messages; `browser`: what each request asks for
    (Accept-Language), else English."""

    @property
    def proxy_secret(self) -> str:
        """``user_header_secret`` as text; empty: none."""
        given = self.user_header_secret
        return given.get_secret_value() if given is not None else ""
