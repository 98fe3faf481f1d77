"""A phone that dials with whatever headers a test wants; baresip has no say in them."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from .sip import SipPhone, header, status

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_FINAL: Final = 200
_SECONDS: Final = 10.0


class InvitingPhone(SipPhone):
    """Offers G.711 on ``rtp``, where nobody listens and nothing is sent from."""

    def __init__(self, name: str, port: int, proxy: int, rtp: int) -> None:
        super().__init__(name, port, proxy)
        self.rtp = rtp
        self._call, self._uri, self._from, self._to = "", "", "", ""
        self._sequence = 0
        """CSeq of the last request within the call."""

    async def invite(self, number: str, more: str = "", caller: str = "") -> int:
        """Dial, with ``more`` headers, each with its CRLF; the final status. 200: `bye` ends it.

        ``caller``: the user part of From, as it is sent, where it is not the phone's name.
        """
        self._begin(number, caller)
        answer = await self._invite(1, more)
        if status(answer) == _UNAUTHORIZED:
            authorization = self.authorization("INVITE", self._uri, answer)
            answer = await self._invite(2, more, authorization)
        return status(answer)

    async def ask(self, method: str, number: str, more: str = "", body: str = "") -> int:
        """Another request out of a call; the final status."""
        self._begin(number)
        contact = f"Contact: <sip:{self.name}@{self.address}>\r\n"
        kind = "Content-Type: text/plain\r\n" if body else ""
        headers = f"{contact}{more}{kind}"
        answer = await self.answer_to(self._request(method, 1, headers, body))
        if status(answer) == _UNAUTHORIZED:
            authorization = self.authorization(method, self._uri, answer)
            answer = await self.answer_to(
                self._request(method, 2, f"{authorization}{headers}", body)
            )
        return status(answer)

    def _begin(self, number: str, caller: str = "") -> None:
        """A request out of any dialog."""
        self._sequence = 2  # an INVITE is sent once or twice
        self._uri = f"sip:{number}@127.0.0.1:{self.proxy}".replace("sip:@", "sip:")
        self._to = f"<{self._uri}>"
        self._call = f"{secrets.token_hex(6)}@{self.address}"
        self._from = f"<sip:{caller or self.name}@127.0.0.1>;tag={secrets.token_hex(4)}"

    async def bye(self) -> None:
        """End the call that was answered."""
        answer = await self.ask_in_call("BYE")
        assert answer == _OK, answer

    async def ask_in_call(self, method: str, more: str = "") -> int:
        """A request within the call that was answered; the final status."""
        self._sequence += 1
        contact = f"Contact: <sip:{self.name}@{self.address}>\r\n"
        request = self._request(method, self._sequence, f"{contact}{more}")
        return status(await self.answer_to(request))

    async def _invite(self, number: int, more: str, authorization: str = "") -> str:
        """The final answer to an INVITE, acknowledged."""
        self._to = f"<{self._uri}>"
        offer = (
            f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self.rtp} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
        contact = f"Contact: <sip:{self.name}@{self.address}>\r\n"
        kind = "Content-Type: application/sdp\r\n"
        request = self._request("INVITE", number, f"{contact}{authorization}{more}{kind}", offer)
        answer = await self.answer_to(request)
        async with asyncio.timeout(_SECONDS):
            while status(answer) < _FINAL:
                answer = await self.next_answer(request)
        self._to = header(answer, "To")
        via = f"Via: {header(request, 'Via')}\r\n" if status(answer) != _OK else ""
        self.send(self._request("ACK", number, via=via))
        return answer

    def _request(
        self, method: str, number: int, more: str = "", body: str = "", via: str = ""
    ) -> str:
        """``via``: of the transaction that an ACK belongs to, where it is no new one."""
        return (
            f"{method} {self._uri} SIP/2.0\r\n"
            f"{via or self.via()}Max-Forwards: 70\r\n"
            f"From: {self._from}\r\nTo: {self._to}\r\n"
            f"Call-ID: {self._call}\r\nCSeq: {number} {method}\r\n"
            f"{more}Content-Length: {len(body)}\r\n\r\n{body}"
        )
