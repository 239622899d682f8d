"""The control plane: etcd, API server, controller manager, scheduler, and beside them CoreDNS and a provisioner of volumes."""

from pathlib import Path

import yaml

from cluster import addons
from cluster.build import Programs
from cluster.certificates import Authority, signing_key
from cluster.errors import ClusterError
from cluster.kubectl import Kubectl
from cluster.layout import CONTROL_PLANE, NODES, Layout
from cluster.machine import Machine
from cluster.network import Addresses
from cluster.waiting import wait_for

API_SERVER = "kube-apiserver"
PORT = 6443
READY_SECONDS = 180
CONTROLLERS = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
DNS = "coredns"
STORAGE = "storage-provisioner"
ETCD = "etcd"
NODE_LOST_SECONDS = 20

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class ControlPlane:
    """The control plane on its machine."""

    def __init__(self, layout: Layout, addresses: Addresses, programs: Programs) -> None:
        self.machine = Machine(CONTROL_PLANE, layout)
        self.address = addresses.machine(CONTROL_PLANE)
        self.server = f"https://{self.address}:{PORT}"
        self._layout = layout
        self._addresses = addresses
        self._programs = programs

    def sign(self, authority: Authority) -> None:
        """Certificates, keys and kubeconfigs for everyone in the cluster."""
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        addresses = [self.address, self._addresses.api_service, "127.0.0.1"]
        authority.sign("api-server", API_SERVER, hosts=[*names, *addresses])
        authority.sign("api-server-to-kubelet", "kube-apiserver-kubelet-client", ["system:masters"])
        signing_key(self._layout.certificates)
        authority.kubeconfig(self._layout.kubeconfig, self.server, "admin", ["system:masters"])
        for user in (CONTROLLERS, SCHEDULER, "kube-proxy"):
            authority.kubeconfig(self._kubeconfig(user), self.server, f"system:{user}")
        authority.kubeconfig(self._kubeconfig(DNS), self.server, addons.DNS_USER)
        authority.kubeconfig(self._kubeconfig(STORAGE), self.server, addons.STORAGE_USER)
        for node in NODES:
            authority.kubeconfig(self._kubeconfig(node), self.server, f"system:node:{node}", ["system:nodes"])
            authority.sign(f"{node}-serving", f"system:node:{node}", hosts=[node, self._addresses.machine(node)])

    def start(self) -> None:
        """Start all processes; returns when the API server is ready."""
        folder = self.machine.folder
        self.machine.start(
            ETCD,
            [
                self._programs["etcd"],
                f"--data-dir={folder / 'etcd'}",
                "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380",
                "--unsafe-no-fsync",
            ],
        )
        self.machine.start(API_SERVER, self._api_server())
        self.wait_until_ready()
        self.machine.start(CONTROLLERS, self._controllers())
        self.machine.start(
            SCHEDULER,
            [
                self._programs[SCHEDULER],
                f"--kubeconfig={self._kubeconfig(SCHEDULER)}",
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
                f"--cert-dir={folder / 'scheduler'}",
            ],
        )
        self._start_dns()
        volumes = self._layout.volumes
        volumes.mkdir(exist_ok=True)
        self.machine.start(
            STORAGE,
            [self._programs[STORAGE], f"-kubeconfig={self._kubeconfig(STORAGE)}", f"-folder={volumes}"],
        )

    def wait_until_ready(self) -> None:
        """Until the API server says that it is ready. Raises ClusterError with the end of its log when it does not."""
        kubectl = Kubectl(self._programs["kubectl"], self._layout.kubeconfig)

        def ready() -> bool:
            for name in (ETCD, API_SERVER):
                if not self.machine.process(name):
                    raise ClusterError(self.machine.last_words(name))
            return kubectl.answers("/readyz")

        wait_for("the API server is ready", ready, READY_SECONDS, lambda: self.machine.last_words(API_SERVER))

    def _api_server(self) -> list[str | Path]:
        pki = self._layout.certificates
        policy = self.machine.folder / "audit-policy.yaml"
        policy.write_text(yaml.safe_dump(AUDIT_POLICY))
        return [
            self._programs[API_SERVER],
            "--etcd-servers=http://127.0.0.1:2379",
            f"--secure-port={PORT}",
            f"--advertise-address={self.address}",
            f"--service-cluster-ip-range={self._addresses.services}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--anonymous-auth=false",
            "--allow-privileged=true",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--tls-cert-file={pki / 'api-server.crt'}",
            f"--tls-private-key-file={pki / 'api-server.key'}",
            f"--kubelet-certificate-authority={pki / 'ca.crt'}",
            f"--kubelet-client-certificate={pki / 'api-server-to-kubelet.crt'}",
            f"--kubelet-client-key={pki / 'api-server-to-kubelet.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={pki / 'service-accounts.pub'}",
            f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self._layout.audit_log}",
            "--audit-log-maxsize=2000",
        ]

    def _controllers(self) -> list[str | Path]:
        pki = self._layout.certificates
        return [
            self._programs[CONTROLLERS],
            f"--kubeconfig={self._kubeconfig(CONTROLLERS)}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={pki / 'service-accounts.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cert-dir={self.machine.folder / 'controllers'}",
            f"--node-monitor-grace-period={NODE_LOST_SECONDS}s",
        ]

    def _start_dns(self) -> None:
        path = self.machine.folder / "Corefile"
        path.write_text(corefile(self.address, self._kubeconfig(DNS)))
        self.machine.start(DNS, [self._programs[DNS], "-conf", path])

    def _kubeconfig(self, user: str) -> Path:
        return self._layout.certificates / f"{user}.kubeconfig"


def corefile(address: str, kubeconfig: Path) -> str:
    """What CoreDNS does: it answers at ``address`` for the cluster's own names, and for no others."""
    return f""".:53 {{
  bind {address}
  errors
  kubernetes cluster.local {{
    kubeconfig {kubeconfig}
  }}
}}
"""
