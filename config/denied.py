"""What no document may lead to unless a setting opens it: the defaults of `http.deny`, `dial.sip_deny` and `dial.number_deny`."""

from __future__ import annotations

# Where no request of an application may lead unless `http.allow` says so: everything that is not a public unicast address
# (IANA special-purpose registries, RFC 6890), and the addresses where clouds keep the machine's credentials.
DENIED_NETWORKS = (
    "0.0.0.0/8",  # this host
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT; one cloud's metadata
    "127.0.0.0/8",
    "168.63.129.16/32",  # one cloud's host agent, on a public address
    "169.254.0.0/16",  # link-local; most clouds' metadata
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "100::/64",
    "2001:db8::/32",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)

# Numbers that cost whoever pays for the trunk more than a call: premium rate, and satellite networks that are called for the share in their
# price. ITU-T E.164 and E.164.1 for the codes without a country (870, 881 to 883, 979); national plans for the others.
DENIED_NUMBERS = (
    *("+870*", "+881*", "+882*", "+883*", "+979*"),
    *("+1900*", "+611900*"),  # North America, Australia
    *("+3290*", "+3389*", "+31900*", "+31906*", "+31909*", "+34803*", "+34806*", "+34807*", "+39899*"),
    *("+41900*", "+41901*", "+41906*", "+43900*", "+43901*", "+43930*", "+449*", "+4487*", "+49900*"),
)
