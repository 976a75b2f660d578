"""Stage profile: can this setup work at all, by what its file says?

What is found here is a prediction: it blocks nothing that can be asked, and the servers decide. ``written``
is the profile as its file says it, before a lab takes the place of its servers.
"""

from smtp_preflight.diagnosis.ends import End
from smtp_preflight.diagnosis.lint import (
    problem_with_client,
    problem_with_client_id,
    problem_with_cloud,
    problem_with_end_date,
    problem_with_grant,
    problem_with_host,
    problem_with_mailbox,
    problem_with_port,
    problem_with_redirect,
    problem_with_scope,
    problem_with_secret,
    problem_with_sign_in_addresses,
    problem_with_tenant,
    problem_with_tls_mode,
)
from smtp_preflight.diagnosis.profile import (
    remark_on_other_date,
    remark_on_secret_end,
    why_it_cannot_work,
    why_secret_ended,
    why_secret_unavailable,
)
from smtp_preflight.model import Profile, SecretCheck, Seen, Stage
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.PROFILE


def test_secret_is_there(secret_check: SecretCheck, seen: Seen, explain: Explain) -> None:
    """Each secret that the profile names can be read."""
    assert secret_check.resolved, explain(why_secret_unavailable(seen, secret_check.key))


def test_secret_has_the_shape_of_one(readable_secret: SecretCheck, seen: Seen, explain: Explain) -> None:
    """A secret is its value alone: no quotes or blanks around it, no id in its place, no whole file."""
    problem = problem_with_secret(readable_secret)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_mailbox_fits_the_provider(written: Profile, seen: Seen, explain: Explain) -> None:
    """The mailbox is at this provider, and the grant can speak for it."""
    problem = problem_with_mailbox(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_scope_fits(written: Profile, seen: Seen, explain: Explain) -> None:
    """The scope names the mail permission of one resource, as this provider and grant want it."""
    problem = problem_with_scope(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_tenant_fits(written: Profile, seen: Seen, explain: Explain) -> None:
    """The tenant fits the kind of account and the grant."""
    problem = problem_with_tenant(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_grant_fits(written: Profile, seen: Seen, explain: Explain) -> None:
    """The provider offers this way to a token."""
    problem = problem_with_grant(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_host_takes_submissions(written: Profile, seen: Seen, explain: Explain) -> None:
    """The host is one to submit mail to, not one for inbound mail, relay or reading."""
    problem = problem_with_host(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_port_is_offered(written: Profile, seen: Seen, explain: Explain) -> None:
    """The provider offers submission on this port."""
    problem = problem_with_port(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_encryption_mode_fits_the_port(written: Profile, seen: Seen, explain: Explain) -> None:
    """Port and encryption mode belong together (RFC 8314 section 3.3)."""
    problem = problem_with_tls_mode(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_secret_fits_the_client(written: Profile, seen: Seen, explain: Explain) -> None:
    """A confidential client has a secret or certificate, a public one has none (RFC 6749 section 2.1)."""
    problem = problem_with_client(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_client_id_has_the_form_of_one(written: Profile, seen: Seen, explain: Explain) -> None:
    """The client id looks like those that the provider gives out, not like another id beside it."""
    problem = problem_with_client_id(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_sign_in_addresses_fit(written: Profile, seen: Seen, explain: Explain) -> None:
    """Sign-in page and token endpoint are of the current version, and of one tenant."""
    problem = problem_with_sign_in_addresses(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_redirect_uri_fits(written: Profile, seen: Seen, explain: Explain) -> None:
    """The redirect URI is one that providers register (RFC 8252 section 7.3)."""
    problem = problem_with_redirect(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_everything_is_of_one_cloud(written: Profile, seen: Seen, explain: Explain) -> None:
    """Sign-in, scope and mail host belong to one national cloud."""
    problem = problem_with_cloud(written)
    assert problem is None, explain(why_it_cannot_work(seen, problem))


def test_secret_has_not_ended(
    credential_end: End | None, seen: Seen, explain: Explain, remark: Remark
) -> None:
    """The application's secret or certificate has not ended, and will not end soon."""
    problem = problem_with_end_date(credential_end, seen.started.date())
    assert problem is None, explain(why_secret_ended(seen, problem))
    remark(remark_on_secret_end(seen))
    remark(remark_on_other_date(seen))
