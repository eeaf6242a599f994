"""libsrtp, the implementation that most of the world's phones have, through its C interface. Debian: libsrtp2-1.

Only what tests need: sessions that take any SSRC in one direction, one master key each, with or without an identifier (MKI).
The structures are those of libsrtp 2.5's `srtp.h`.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Final

KEY_OCTETS: Final = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AES_256_CM_HMAC_SHA1_80": 46,
    "AES_256_CM_HMAC_SHA1_32": 46,
    "AEAD_AES_128_GCM": 28,
    "AEAD_AES_256_GCM": 44,
}
SUITES: Final = tuple(KEY_OCTETS)

# (the function that fills in the policy for RTP, the one for RTCP): the short tag is for RTP only
_POLICIES: Final = {
    "AES_CM_128_HMAC_SHA1_80": ("srtp_crypto_policy_set_rtp_default", "srtp_crypto_policy_set_rtcp_default"),
    "AES_CM_128_HMAC_SHA1_32": ("srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32", "srtp_crypto_policy_set_rtcp_default"),
    "AES_256_CM_HMAC_SHA1_80": ("srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80",) * 2,
    "AES_256_CM_HMAC_SHA1_32": ("srtp_crypto_policy_set_aes_cm_256_hmac_sha1_32", "srtp_crypto_policy_set_aes_cm_256_hmac_sha1_80"),
    "AEAD_AES_128_GCM": ("srtp_crypto_policy_set_aes_gcm_128_16_auth",) * 2,
    "AEAD_AES_256_GCM": ("srtp_crypto_policy_set_aes_gcm_256_16_auth",) * 2,
}

_ERRORS: Final = {7: "auth_fail", 9: "replay_fail", 10: "replay_old", 25: "bad_mki"}
_ANY_INBOUND, _ANY_OUTBOUND = 2, 3
_MAX_TRAILER = 160


class _CryptoPolicy(ctypes.Structure):
    _fields_ = (
        ("cipher_type", ctypes.c_uint32),
        ("cipher_key_len", ctypes.c_int),
        ("auth_type", ctypes.c_uint32),
        ("auth_key_len", ctypes.c_int),
        ("auth_tag_len", ctypes.c_int),
        ("sec_serv", ctypes.c_int),
    )


class _MasterKey(ctypes.Structure):
    _fields_ = (("key", ctypes.c_char_p), ("mki_id", ctypes.c_char_p), ("mki_size", ctypes.c_uint))


class _Policy(ctypes.Structure):
    _fields_ = (
        ("ssrc_type", ctypes.c_int),
        ("ssrc_value", ctypes.c_uint),
        ("rtp", _CryptoPolicy),
        ("rtcp", _CryptoPolicy),
        ("key", ctypes.c_char_p),
        ("keys", ctypes.POINTER(ctypes.POINTER(_MasterKey))),
        ("num_master_keys", ctypes.c_ulong),
        ("deprecated_ekt", ctypes.c_void_p),
        ("window_size", ctypes.c_ulong),
        ("allow_repeat_tx", ctypes.c_int),
        ("enc_xtn_hdr", ctypes.c_void_p),
        ("enc_xtn_hdr_count", ctypes.c_int),
        ("next", ctypes.c_void_p),
    )


class LibsrtpError(Exception):
    """A packet that libsrtp refused; the argument is its name for why."""


@functools.cache
def library() -> ctypes.CDLL:
    """The initialized library. Raises OSError where it is not installed."""
    loaded = ctypes.CDLL("libsrtp2.so.1")
    if loaded.srtp_init() != 0:
        raise OSError("libsrtp does not start")
    return loaded


class Session:
    """One direction under one master key (key and salt, one behind the other)."""

    def __init__(self, suite: str, master: bytes, *, inbound: bool, mki: bytes = b"") -> None:
        assert len(master) == KEY_OCTETS[suite]
        self._library = library()
        self._inbound, self._mki = inbound, mki
        self._session = ctypes.c_void_p()
        self._check(self._library.srtp_create(ctypes.byref(self._session), ctypes.byref(self._policy(suite, master))))

    def rekey(self, suite: str, master: bytes) -> None:
        """Other keys for the streams that are there; their roll-over counters go on."""
        self._check(self._library.srtp_update(self._session, ctypes.byref(self._policy(suite, master))))

    def protect(self, packet: bytes) -> bytes:
        return self._apply("srtp_protect_mki", packet)

    def unprotect(self, packet: bytes) -> bytes:
        return self._apply("srtp_unprotect_mki", packet)

    def protect_control(self, packet: bytes) -> bytes:
        return self._apply("srtp_protect_rtcp_mki", packet)

    def unprotect_control(self, packet: bytes) -> bytes:
        return self._apply("srtp_unprotect_rtcp_mki", packet)

    def close(self) -> None:
        self._check(self._library.srtp_dealloc(self._session))

    def _policy(self, suite: str, master: bytes) -> _Policy:
        policy = _Policy(ssrc_type=_ANY_INBOUND if self._inbound else _ANY_OUTBOUND, window_size=128)
        rtp, rtcp = _POLICIES[suite]
        getattr(self._library, rtp)(ctypes.byref(policy.rtp))
        getattr(self._library, rtcp)(ctypes.byref(policy.rtcp))
        if self._mki:
            self._kept = _MasterKey(master, self._mki, len(self._mki))
            policy.keys = (ctypes.POINTER(_MasterKey) * 1)(ctypes.pointer(self._kept))
            policy.num_master_keys = 1
        else:
            policy.key = master
        return policy

    def _apply(self, name: str, packet: bytes) -> bytes:
        buffer = ctypes.create_string_buffer(packet, len(packet) + _MAX_TRAILER)
        length = ctypes.c_int(len(packet))
        arguments = [self._session, buffer, ctypes.byref(length), ctypes.c_uint(bool(self._mki))]
        if name.startswith("srtp_protect"):
            arguments.append(ctypes.c_uint(0))
        self._check(getattr(self._library, name)(*arguments))
        return buffer.raw[: length.value]

    @staticmethod
    def _check(status: int) -> None:
        if status != 0:
            raise LibsrtpError(_ERRORS.get(status, str(status)))
