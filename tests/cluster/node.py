"""A node: containerd, kubelet and kube-proxy on a machine of their own, and GPUs that do not exist."""

import json
import re
from pathlib import Path

import yaml

from cluster import cgroups
from cluster.build import Programs
from cluster.errors import ClusterError
from cluster.kubectl import Kubectl, holds
from cluster.layers import StoredImage, place, write_description
from cluster.layout import CONTROL_PLANE, NODES, Layout
from cluster.machine import Machine
from cluster.network import Addresses
from cluster.waiting import wait_for

CONTAINERD = "containerd"
KUBELET = "kubelet"
PROXY = "kube-proxy"
GPU_PLUGIN = "gpu-plugin"
GPU = "nvidia.com/gpu"
PAUSE_IMAGE = "docker.io/modelpool-test/pause:1"
SOCKET = "/run/containerd/containerd.sock"
CNI_PLUGINS = Path("/usr/lib/cni")
STATE_FOLDER = Path("/var/lib/kubelet")
START_SECONDS = 180
MAX_PODS = 110


class Node:
    """A node of the cluster."""

    def __init__(self, name: str, layout: Layout, addresses: Addresses, programs: Programs) -> None:
        self.name = name
        self.number = 1 + NODES.index(name)
        self.machine = Machine(name, layout)
        self.address = addresses.machine(name)
        self._layout = layout
        self._addresses = addresses
        self._programs = programs
        self._kubectl = Kubectl(programs["kubectl"], layout.kubeconfig)

    def start_containerd(self) -> None:
        """Start containerd, which the kubelet needs to find there."""
        cgroups.make(self._cgroup)
        command = [str(self._programs["containerd"]), f"--config={self._containerd()}"]
        self.machine.start(CONTAINERD, command, self._path)

    def start_kubelet(self) -> None:
        """Start kubelet and kube-proxy; the node becomes Ready later."""
        self.machine.start(KUBELET, [self._programs["kubelet"], *self._kubelet()], self._path)
        self.machine.start(PROXY, [self._programs["kube-proxy"], f"--config={self._proxy()}"], self._path)

    def wait_for_containerd(self) -> None:
        """Until containerd answers. Raises ClusterError with the end of its log when it does not."""

        def answers() -> bool:
            if not self.machine.process(CONTAINERD):
                raise ClusterError(self.machine.last_words(CONTAINERD))
            try:
                self.ctr("version")
            except ClusterError:
                return False
            return True

        wait_for(
            f"containerd on {self.name} answers", answers, START_SECONDS, lambda: self.machine.last_words(CONTAINERD)
        )

    def wait_until_ready(self) -> None:
        """Until the control plane says that the node is Ready. Raises ClusterError with the end of the kubelet's log when it does not."""

        def ready() -> bool:
            for name in (CONTAINERD, KUBELET, PROXY):
                if not self.machine.process(name):
                    raise ClusterError(self.machine.last_words(name))
            node = self._kubectl.find("node", self.name)
            return node is not None and holds(node, "Ready")

        wait_for(f"{self.name} is Ready", ready, START_SECONDS, lambda: self.machine.last_words(KUBELET))

    def start_gpus(self, count: int) -> None:
        """Start a device plugin that offers this many GPUs; the node has them a moment later."""
        command = [str(self._programs["gpu-plugin"]), f"-node={self.number}", f"-count={count}"]
        (self.machine.folder / "var-lib" / "kubelet" / "device-plugins").mkdir(parents=True, exist_ok=True)
        self.machine.start(GPU_PLUGIN, command)

    def stop_gpus(self) -> None:
        """Take the GPUs away, as when the plugin's pod dies; pods that have one keep it."""
        self.machine.stop(GPU_PLUGIN)

    def gpus(self) -> int:
        """How many GPUs the control plane would give to pods on this node."""
        node = self._kubectl.find("node", self.name) or {}
        return int(node.get("status", {}).get("allocatable", {}).get(GPU, 0))

    def wait_for_gpus(self, count: int) -> None:
        """Until the node offers exactly this many GPUs."""
        wait_for(
            f"{self.name} offers {count} GPUs",
            lambda: self.gpus() == count,
            START_SECONDS,
            lambda: self.machine.last_words(GPU_PLUGIN),
        )

    def ctr(self, *arguments: str | Path, seconds: float = 600) -> str:
        """Run containerd's own client on the node, for the images and containers of Kubernetes."""
        return self.machine.run(*self._ctr, *arguments, seconds=seconds)

    def bring(self, image: StoredImage) -> None:
        """Give the node an image whose layers lie on this disk. Nothing happens to what it has of it."""
        chain = image.chain()
        here = {line.split()[0] for line in self.ctr("snapshots", "list").splitlines()}
        for layer, name, below in zip(image.layers, chain, [None, *chain], strict=False):
            if name in here:
                continue
            unfinished = f"unfinished-{name}"
            if unfinished in here:
                self.ctr("snapshots", "remove", unfinished)
            self.ctr("snapshots", "prepare", unfinished, *([below] if below else []))
            place(layer, self._top(unfinished))
            self.ctr("snapshots", "commit", name, unfinished)
        description = self.machine.folder / "image.tar"
        with description.open("wb") as out:
            write_description(out, image)
        self.ctr("images", "import", "--local", description)

    def _top(self, snapshot: str) -> Path:
        """The folder that a snapshot's own files are in."""
        mount = self.ctr("snapshots", "mounts", "/unused", snapshot)
        found = re.search(r"upperdir=([^,\s]+)", mount) or re.search(r"-t bind (\S+)", mount)
        if found is None:
            raise ClusterError(f"the folder of snapshot {snapshot} is not in: {mount}")
        return Path(found[1])

    @property
    def _ctr(self) -> list[str | Path]:
        return [self._programs["ctr"], f"--address={SOCKET}", "--namespace=k8s.io"]

    @property
    def _path(self) -> dict[str, str]:
        return {"PATH": self._programs.search_path}

    @property
    def _cgroup(self) -> str:
        return f"{self._layout.cgroup}/{self.name}"

    def _file(self, name: str, content: str) -> Path:
        path = self.machine.folder / name
        path.write_text(content)
        return path

    def _containerd(self) -> Path:
        network = {
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "ptp",
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": str(self._addresses.pods_of(self.name))}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }
        folder = self.machine.folder / "cni"
        folder.mkdir(exist_ok=True)
        self._file("cni/10-pods.conflist", json.dumps(network))
        return self._file(
            "containerd.toml",
            f"""version = 3
root = "{self.machine.folder / "containerd"}"
state = "/run/containerd"
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{CNI_PLUGINS}"]
  conf_dir = "{folder}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "runc"
""",
        )

    def _kubelet(self) -> list[str]:
        pki = self._layout.certificates
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "containerRuntimeEndpoint": f"unix://{SOCKET}",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(pki / f"{self.name}-serving.crt"),
            "tlsPrivateKeyFile": str(pki / f"{self.name}-serving.key"),
            "failSwapOn": False,
            "makeIPTablesUtilChains": False,
            "enforceNodeAllocatable": [],
            # The disk is the developer's: how full it is says nothing about the test.
            "evictionHard": {"memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100,
            "maxPods": MAX_PODS,
            "clusterDNS": [self._addresses.machine(CONTROL_PLANE)],
            "clusterDomain": "cluster.local",
            "resolvConf": "/dev/null",
        }
        return [
            f"--config={self._file('kubelet.yaml', yaml.safe_dump(configuration))}",
            f"--kubeconfig={pki / f'{self.name}.kubeconfig'}",
            f"--hostname-override={self.name}",
            f"--root-dir={STATE_FOLDER}",
            f"--node-ip={self.address}",
        ]

    def _proxy(self) -> Path:
        configuration = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": str(self._layout.certificates / "kube-proxy.kubeconfig")},
            "clusterCIDR": str(self._addresses.pods),
            "hostnameOverride": self.name,
            "nodePortAddresses": ["primary"],
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            # Limits of connection tracking belong to the host and stay as they are.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }
        return self._file("kube-proxy.yaml", yaml.safe_dump(configuration))
