"""What the reason codes of MQTT 5 mean to a hub: wait, go slower, set one moment aside, or have a person look.

Table 2-6 of the OASIS standard "MQTT Version 5.0". Those of 3.1.1 come translated (a CONNACK of 3.1.1 has five, a PUBACK none).
"""

CHECK_HUB = "check `id` in [hub] and what the broker allows it"
CHECK_LOGIN = "check `username` and `password` in [uplink]"

HOPELESS = {
    0x84: 'set `protocol = "3.1.1"` in [uplink]',  # unsupported protocol version
    0x85: CHECK_HUB,  # client identifier not valid
    0x86: CHECK_LOGIN,  # bad user name or password
    0x87: f"{CHECK_LOGIN}, and its rights to publish on the broker",  # not authorized
    0x8A: CHECK_HUB,  # banned
    0x8C: CHECK_LOGIN,  # bad authentication method
    0x8E: "does a second hub run with the same `id` in [hub]?",  # session taken over
    0x9A: "the broker must take retained messages, for `canary/{hub}/state`",  # retain not supported
    0x9B: "the broker must take QoS 1",  # QoS not supported
    0x9C: "ask for the new `url`",  # use another server
    0x9D: "ask for the new `url`",  # server moved
}
"""At which trying again soon is pointless, and what to do."""

BUSY = {0x88, 0x89, 0x8B, 0x93, 0x96, 0x97, 0x9F}
"""Server unavailable, busy or shutting down; receive maximum, message rate, quota or connection rate exceeded: come back later."""

QUOTA = 0x97
"""Of a PUBACK: this moment again, later and slower."""

REFUSED = {0x90, 0x99}
"""Of a PUBACK: topic name or payload format invalid. It will be the same however often this moment is sent."""

UNCLEAR = {0x80, 0x83, 0x91}
"""Of a PUBACK: unspecified, implementation specific, identifier in use. Worth some more tries, and not endless ones."""

ABOUT_WHAT_WAS_SENT = {0x81, 0x82, 0x90, 0x95, 0x99}
"""Of a DISCONNECT: malformed, protocol error, topic, packet too large, payload. One of the moments in flight is why."""
