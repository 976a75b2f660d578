"""Stage tcp: can the submission host be connected to?

Evidence: ``connects`` holds one attempt per published address of a family.
"""

from smtp_preflight.diagnosis.tcp import remark_on_connect_time, why_not_connected
from smtp_preflight.model import Seen, Stage, TcpConnects
from smtp_preflight.outcome import Explain, Remark

STAGE = Stage.TCP


def test_each_address_connects(connects: TcpConnects, seen: Seen, explain: Explain, remark: Remark) -> None:
    """Every published address takes a connection on the submission port."""
    assert not connects.failed, explain(why_not_connected(seen))
    remark(remark_on_connect_time(seen, connects))
