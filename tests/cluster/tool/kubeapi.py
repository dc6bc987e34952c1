"""The few questions the tool itself asks the API server: faster than starting kubectl for each of them."""

import http.client
import json
import ssl
from typing import Any, Final

from tests.cluster.tool.paths import Paths

_PATCH: Final = "application/strategic-merge-patch+json"


class KubeApi:
    """The API server of our own cluster, as its administrator."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def ready(self) -> bool:
        """Tell whether the API server says it is ready."""
        try:
            return self.request("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def nodes(self) -> list[dict[str, Any]]:
        """Return the nodes, none while the API server doesn't answer."""
        try:
            status, body = self.request("GET", "/api/v1/nodes")
        except OSError:
            return []
        found: list[dict[str, Any]] = json.loads(body)["items"] if status == 200 else []
        return found

    def give_gpus(self, node: str, count: int) -> bool:
        """Give a node extended resources: they count for scheduling, there is no device behind them."""
        amount = {"nvidia.com/gpu": str(count)}
        patch = {"status": {"capacity": amount, "allocatable": amount}}
        return self.request("PATCH", f"/api/v1/nodes/{node}/status", body=patch)[0] == 200

    def request(self, method: str, path: str, *, body: object = None) -> tuple[int, bytes]:
        """Return status and body of one answer."""
        pki = self._paths.pki
        if not (pki / "admin.crt").exists():
            raise ConnectionError("there is no cluster")
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        connection = http.client.HTTPSConnection(self._paths.addresses.host, 6443, timeout=5, context=context)
        try:
            payload = None if body is None else json.dumps(body)
            kind = _PATCH if method == "PATCH" else "application/json"
            connection.request(method, path, body=payload, headers={"Content-Type": kind})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()


def is_ready(node: dict[str, Any]) -> bool:
    """Tell whether a node object says it is ready."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
