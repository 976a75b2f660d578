"""The presets are whole, consistent, and say what the reference says."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, fields
from datetime import date
from importlib import resources
from urllib.parse import urlsplit

import pytest
from pydantic import TypeAdapter

from smtp_preflight.model import Endpoint, GrantType, Provider
from smtp_preflight.profile import load_providers

FOLDER = resources.files("smtp_preflight") / "providers"
NAMES = [
    "aol",
    "custom",
    "fastmail",
    "google",
    "google_workspace",
    "microsoft365",
    "microsoft365_21vianet",
    "microsoft365_dod",
    "microsoft365_gcc_high",
    "microsoft365_hve",
    "outlook_personal",
    "yahoo",
    "yandex",
]
PRESET = [name for name in NAMES if name != "custom"]
ENDPOINT_KEYS = {
    "authorize_endpoint",
    "token_endpoint",
    "device_endpoint",
    "issuer",
    "jwks_uri",
    "discovery_uri",
    "token_info_uri",
}
WHAT_A_HOST_IS = {
    *("accepted", "personal", "legacy", "legacy_tls", "high_volume", "standard", "direct_send", "relay"),
    *("imap", "pop", "other_cloud"),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_of_its_type(name: str) -> None:
    """Reading the files checks nothing, so that it is quick; nothing has to be turned into anything."""
    provider = load_providers()[name]
    assert TypeAdapter(Provider).validate_python(asdict(provider)) == provider


def provider(name: str) -> Provider:
    return load_providers()[name]


def test_every_promised_provider_is_there() -> None:
    assert list(load_providers()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_nothing_that_nobody_reads(name: str) -> None:
    """Every key is a field of Provider."""
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
    known = {one.name for one in fields(Provider)} - {"name"}
    assert set(content) <= known
    assert set(content.get("scope", {})) <= {"delegated", *GrantType}
    assert set(content.get("oauth", {})) <= ENDPOINT_KEYS | {"authorize_params", "redirect_uri"}


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_has_a_title_its_sources_and_the_date_of_the_facts(name: str) -> None:
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))
    assert content["verified"] == date(2026, 11, 20)
    assert provider(name).title
    assert provider(name).sources


@pytest.mark.parametrize("name", PRESET)
def test_a_preset_is_enough_for_a_profile_that_names_only_its_application(name: str) -> None:
    preset = provider(name)
    assert preset.endpoints
    assert preset.oauth["token_endpoint"]
    assert preset.permissions
    assert set(preset.grants) <= set(GrantType)
    assert {grant for grant in preset.grants if grant != "access_token"} <= set(preset.scope)


@pytest.mark.parametrize("name", NAMES)
def test_endpoints_are_https_and_on_hosts_that_discovery_may_name(name: str) -> None:
    """Except for their place only the tenant is left open."""
    preset = provider(name)
    for key, template in preset.oauth.items():
        if key in ENDPOINT_KEYS:
            url = urlsplit(template.replace("{tenant}", "contoso"))
            assert url.scheme == "https"
            assert url.hostname in preset.issuer_hosts
            assert "{" not in url.geturl()


@pytest.mark.parametrize("name", NAMES)
def test_a_template_with_a_tenant_has_one_to_be_filled_in_with(name: str) -> None:
    preset = provider(name)
    assert any("{tenant}" in template for template in preset.oauth.values()) == bool(preset.default_tenant)


@pytest.mark.parametrize("name", NAMES)
def test_ports_and_tls_modes_are_those_of_submission(name: str) -> None:
    """RFC 8314: 587 begins in the clear, 465, 993 and 995 do not."""
    preset = provider(name)
    assert {(one.port, one.tls) for one in preset.endpoints} <= {(587, "starttls"), (465, "implicit")}
    assert preset.imap is None or (preset.imap.port, preset.imap.tls) == (993, "implicit")
    assert preset.pop is None or (preset.pop.port, preset.pop.tls) == (995, "implicit")


@pytest.mark.parametrize("name", NAMES)
def test_hosts_are_lower_case_and_what_is_said_of_others_is_known(name: str) -> None:
    preset = provider(name)
    hosts = [one.host for one in preset.endpoints] + list(preset.legacy_hosts)
    assert [host for host in hosts if host != host.lower()] == []
    assert set(preset.legacy_hosts.values()) <= WHAT_A_HOST_IS
    assert not {one.host for one in preset.endpoints} & set(preset.legacy_hosts)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("microsoft365")])
def test_microsofts_tokens_can_be_read_but_need_not_verify(name: str) -> None:
    preset = provider(name)
    assert (preset.opaque_tokens, preset.signed_tokens) == (False, False)
    assert preset.default_tenant == "organizations"
    assert preset.refresh_idle_days == 90
    assert preset.password_retirement


def test_microsoft_365_is_as_its_documentation_says() -> None:
    preset = provider("microsoft365")
    assert preset.endpoints == (Endpoint("smtp.office365.com", 587, "starttls"),)
    assert preset.scope["client_credentials"] == ("https://outlook.office365.com/.default",)
    assert preset.scope["device_code"] == ("https://outlook.office.com/SMTP.Send", "offline_access")
    assert set(preset.permissions) == {"SMTP.Send", "SMTP.SendAsApp"}
    assert preset.legacy_hosts["outlook.office365.com"] == "accepted"
    assert preset.legacy_hosts["smtp.live.com"] == "legacy"
    assert preset.legacy_hosts["*.mail.protection.outlook.com"] == "direct_send"
    assert "end of December 2026" in preset.password_retirement
    assert "second half of 2027" in preset.password_retirement


def test_only_high_volume_email_wants_longer_lives_of_tokens() -> None:
    assert {name: one.token_life_s for name, one in load_providers().items() if one.token_life_s} == {
        "microsoft365_hve": 600
    }


def test_clouds_do_not_share_hosts_for_signing_in_or_sending() -> None:
    """A profile that mixes two clouds can be told by its hosts."""
    china, dod = provider("microsoft365_21vianet"), provider("microsoft365_dod")
    world, high = provider("microsoft365"), provider("microsoft365_gcc_high")
    assert len({one.issuer_hosts[0] for one in (world, high, china)}) == 3
    for one, other in [(world, high), (world, dod), (world, china), (high, dod)]:
        assert not {each.host for each in one.endpoints} & {each.host for each in other.endpoints}
        assert {other.legacy_hosts[each.host] for each in one.endpoints} == {"other_cloud"}


def test_personal_accounts_have_no_application_of_their_own_to_send() -> None:
    preset = provider("outlook_personal")
    assert preset.opaque_tokens
    assert "client_credentials" not in {*preset.grants, *preset.scope}
    assert preset.default_tenant == "consumers"
    assert preset.owns("hotmail.com")


def test_google_wants_the_whole_mail_scope_and_no_device_grant() -> None:
    preset = provider("google")
    assert preset.endpoints[1] == Endpoint("smtp.gmail.com", 465, "implicit")
    assert set(preset.scope.values()) == {("https://mail.google.com/",)}
    assert "device_code" not in preset.grants
    assert preset.opaque_tokens
    assert preset.client_secret_required
    assert preset.oauth["authorize_params.access_type"] == "offline"
    assert preset.oauth["token_info_uri"] == "https://oauth2.googleapis.com/tokeninfo"


def test_a_workspace_begins_with_its_service_account() -> None:
    preset = provider("google_workspace")
    assert preset.grants[0] == "jwt_bearer"
    assert preset.scope["jwt_bearer"] == ("https://mail.google.com/",)


def test_of_a_custom_server_nothing_is_assumed() -> None:
    preset = provider("custom")
    assert (preset.endpoints, preset.oauth, preset.grants, preset.aud) == ((), {}, (), ())
    assert preset.signed_tokens


@pytest.mark.parametrize(
    ("domain", "owned"),
    [
        ("onmicrosoft.com", True),
        ("contoso.onmicrosoft.com", True),
        ("notonmicrosoft.com", False),
        ("", False),
    ],
)
def test_a_provider_owns_its_domains_and_what_is_below_them(domain: str, owned: bool) -> None:
    assert provider("microsoft365").owns(domain) is owned
