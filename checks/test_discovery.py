"""Stage discovery: is the identity provider who the profile says it is?

Evidence: ``metadata`` is its discovery document, ``keys`` are its public signing keys.
"""

from smtp_preflight.diagnosis.discovery import remark_on_discovery_time, why_no_keys, why_not_discovered
from smtp_preflight.diagnosis.expected import endpoints_as_expected, issuer_as_expected
from smtp_preflight.model import Discovery, Keys, Profile, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.DISCOVERY


def test_metadata_is_published(metadata: Discovery, seen: Seen, explain: Explain, remark: Remark) -> None:
    """The discovery document can be fetched and read, so this tenant exists (RFC 8414 section 3)."""
    assert metadata.readable, explain(why_not_discovered(seen))
    remark(remark_on_discovery_time(seen, metadata))


def test_issuer_is_as_expected(
    readable_metadata: Discovery, profile: Profile, seen: Seen, explain: Explain
) -> None:
    """The document names the issuer that was asked (RFC 8414 section 3.3)."""
    assert issuer_as_expected(profile, readable_metadata), explain(why_not_discovered(seen))


def test_endpoints_are_as_expected(
    readable_metadata: Discovery, profile: Profile, seen: Seen, explain: Explain
) -> None:
    """The token endpoint in use is on the host that the document names."""
    assert endpoints_as_expected(profile, readable_metadata), explain(why_not_discovered(seen))


def test_signing_keys_are_published(keys: Keys, seen: Seen, explain: Explain, remark: Remark) -> None:
    """The public keys can be fetched and read (RFC 7517 section 5)."""
    assert keys.readable, explain(why_no_keys(seen))
    remark(remark_on_discovery_time(seen, keys))
