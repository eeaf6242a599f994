"""The asyncio shell of the SIP core: sockets, the clock, DNS."""
