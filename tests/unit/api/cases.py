"""Jobs that must be refused, and by which words: one table, asked of the Python check here and of the real API server.

`server` says who can refuse it: the API server by the CRD (then also `check` does), or only `check`.
"""

from __future__ import annotations

from typing import Any

from tests.unit.api import feed_cases
from tests.unit.api.case import Bad, Good, job

__all__ = ["BAD", "GOOD", "Bad", "Good", "job"]


def trainer(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "trainer", **fields}]}}


VOLUME = {"name": "data", "emptyDir": {}}

BAD = (
    # Identity
    Bad(title="name of 64", job=job("a" * 64), path="metadata.name", words=("at most 63",)),
    Bad(
        title="name with a dot",
        job=job("a.b"),
        path="metadata.name",
        words=("lower-case letters, digits and '-'",),
    ),
    # Types and bounds
    Bad(
        title="unknown framework",
        job=job(framework="Jax"),
        path="spec.framework",
        words=("Jax", "PyTorch", "Custom"),
        server_words=("spec.framework", "Unsupported value", "PyTorch", "Custom"),
    ),
    Bad(title="no framework", job=job(framework=...), path="spec.framework", words=("equired",)),
    Bad(
        title="zero workers",
        job=job(workers=0),
        path="spec.workers",
        words=("at least 1",),
        server_words=("spec.workers", "greater than or equal to 1"),
    ),
    Bad(
        title="too many workers",
        job=job(workers=10_001),
        path="spec.workers",
        words=("at most 10000",),
        server_words=("spec.workers", "less than or equal to 10000"),
    ),
    Bad(
        title="workers in quotes",
        job=job(workers="4"),
        path="spec.workers",
        words=("whole number",),
        server_words=("spec.workers", "integer"),
    ),
    Bad(
        title="a word for true",
        job=job(suspend="yes"),
        path="spec.suspend",
        words=("true or false",),
        server_words=("spec.suspend", "boolean"),
    ),
    Bad(
        title="negative TTL",
        job=job(ttlSecondsAfterFinished=-1),
        path="spec.ttlSecondsAfterFinished",
        words=("at least 0",),
        server_words=("spec.ttlSecondsAfterFinished", "greater than or equal to 0"),
    ),
    Bad(
        title="command as one text",
        job=job(command="python train.py"),
        path="spec.command",
        words=("write a list",),
        server_words=("spec.command", "array"),
    ),
    Bad(
        title="a typo",
        job=job(gpuPerWorker=2),
        path="spec.gpuPerWorker",
        words=("unknown field", "gpusPerWorker"),
        server_words=("unknown field", "spec.gpuPerWorker"),
    ),
    Bad(
        title="a typo below",
        job=job(restart={"maxRetries": 2}),
        path="spec.restart.maxRetries",
        words=("unknown field", "maxRestarts"),
        server_words=("unknown field", "spec.restart.maxRetries"),
    ),
    # The program
    Bad(
        title="no command",
        job=job(command=...),
        path="spec.command",
        words=("write the command of one training process",),
    ),
    Bad(title="empty command", job=job(command=[]), path="spec.command", words=("write the command",)),
    Bad(title="empty program", job=job(command=[" "]), path="spec.command[0]", words=("program",), server=False),
    Bad(title="Custom without image", job=job(framework="Custom"), path="spec.image", words=("no default image",)),
    Bad(title="space in image", job=job(image="app: 1"), path="spec.image", words=("holds no space",)),
    Bad(
        title="empty image",
        job=job(image=""),
        path="spec.image",
        words=("must not be empty",),
        server_words=("spec.image", "at least 1 char"),
    ),
    Bad(
        title="resource without domain", job=job(gpuResource="gpu"), path="spec.gpuResource", words=("nvidia.com/gpu",)
    ),
    Bad(
        title="backend without Keras",
        job=job(kerasBackend="torch"),
        path="spec.kerasBackend",
        words=("belongs to framework Keras",),
    ),
    Bad(
        title="Keras without backend",
        job=job(framework="Keras"),
        path="spec.kerasBackend",
        words=("required with framework Keras", "torch or tensorflow"),
    ),
    Bad(
        title="another backend by the environment",
        job=job(framework="Keras", kerasBackend="torch", env=[{"name": "KERAS_BACKEND", "value": "tensorflow"}]),
        path="spec.env[0]",
        words=("spec.kerasBackend chooses", "leave KERAS_BACKEND out"),
        server_words=("spec.env", "spec.kerasBackend chooses", "leave KERAS_BACKEND out"),
    ),
    Bad(
        title="a backend from somewhere by the environment",
        job=job(
            framework="Keras",
            kerasBackend="torch",
            env=[{"name": "KERAS_BACKEND", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}],
        ),
        path="spec.env[0]",
        words=("leave KERAS_BACKEND out",),
        server_words=("spec.env", "leave KERAS_BACKEND out"),
    ),
    Bad(
        title="Off without quotes",
        job=job(runtime=False),
        path="spec.runtime",
        words=("Auto, Off", "in quotes"),
        server_words=("spec.runtime", "string"),
    ),
    # Source
    Bad(title="empty source", job=job(source={}), path="spec.source", words=("exactly one of configMap and inline",)),
    Bad(
        title="two sources",
        job=job(source={"configMap": {"name": "code"}, "inline": {"a.py": ""}}),
        path="spec.source",
        words=("exactly one of configMap and inline",),
    ),
    Bad(
        title="no file in source",
        job=job(source={"inline": {}}),
        path="spec.source.inline",
        words=("at least one file",),
    ),
    Bad(
        title="file name that climbs",
        job=job(source={"inline": {"../x.py": ""}}),
        path='spec.source.inline["../x.py"]',
        words=("no folder",),
    ),
    Bad(
        title="code that no ConfigMap holds",
        job=job(source={"inline": {f"{i}.py": "x" * 250_000 for i in range(4)}}),
        path="spec.source.inline",
        words=("put the code into the image",),
        server=False,
    ),
    # Checkpoint
    Bad(
        title="relative checkpoint path",
        job=job(checkpoint={"volume": {"emptyDir": {}}, "path": "ck"}),
        path="spec.checkpoint.path",
        words=("absolute path",),
    ),
    Bad(
        title="checkpoint path that climbs",
        job=job(checkpoint={"volume": {"emptyDir": {}}, "path": "/a/../b"}),
        path="spec.checkpoint.path",
        words=("absolute path",),
    ),
    Bad(
        title="checkpoint over the runtime",
        job=job(checkpoint={"volume": {"emptyDir": {}}, "path": "/regatta/x"}),
        path="spec.checkpoint.path",
        words=("belong", "to Regatta"),
    ),
    Bad(
        title="checkpoint without volume",
        job=job(checkpoint={"path": "/ck"}),
        path="spec.checkpoint.volume",
        words=("equired",),
    ),
    Bad(
        title="checkpoint volume without source",
        job=job(checkpoint={"volume": {}}),
        path="spec.checkpoint.volume",
        words=("exactly one volume source",),
        server=False,
    ),
    Bad(
        title="checkpoint volume with a name",
        job=job(checkpoint={"volume": {"name": "x", "emptyDir": {}}}),
        path="spec.checkpoint.volume.name",
        words=("leave it out",),
        server=False,
    ),
    # Environment
    Bad(
        title="rank set by hand",
        job=job(env=[{"name": "RANK", "value": "0"}]),
        path="spec.env[0].name",
        words=("computed for every process",),
    ),
    Bad(
        title="our own variable",
        job=job(env=[{"name": "A", "value": "0"}, {"name": "REGATTA_TOKEN", "value": "0"}]),
        path="spec.env[1].name",
        words=("computed for every process",),
    ),
    Bad(
        title="number as a variable's value",
        job=job(env=[{"name": "A", "value": 1}]),
        path="spec.env[0].value",
        words=("quotes",),
        server_words=("spec.env[0].value", "string"),
    ),
    Bad(
        title="a variable twice",
        job=job(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
        path="spec.env[1].name",
        words=("more than once",),
        server_words=("spec.env[1]", "Duplicate value"),
    ),
    Bad(
        title="a variable without name",
        job=job(env=[{"value": "1"}]),
        path="spec.env[0].name",
        words=("equired",),
    ),
    Bad(
        title="envFrom nothing",
        job=job(envFrom=[{"prefix": "A_"}]),
        path="spec.envFrom[0]",
        words=("configMapRef or secretRef",),
        server=False,
    ),
    # Volumes
    Bad(
        title="volume of ours",
        job=job(volumes=[{"name": "regatta-x", "emptyDir": {}}]),
        path="spec.volumes[0].name",
        words=("to Regatta",),
    ),
    Bad(
        title="shared memory twice",
        job=job(volumes=[{"name": "dshm", "emptyDir": {}}]),
        path="spec.volumes[0].name",
        words=("to Regatta",),
    ),
    Bad(
        title="volume in capitals",
        job=job(volumes=[{"name": "Data", "emptyDir": {}}]),
        path="spec.volumes[0].name",
        words=("lower-case letters",),
    ),
    Bad(
        title="two volumes of a name",
        job=job(volumes=[VOLUME, VOLUME]),
        path="spec.volumes[1].name",
        words=("two volumes",),
        server_words=("spec.volumes[1]", "Duplicate value"),
    ),
    Bad(
        title="volume without source",
        job=job(volumes=[{"name": "data"}]),
        path="spec.volumes[0]",
        words=("exactly one volume source",),
        server=False,
    ),
    Bad(
        title="mount over the runtime",
        job=job(volumes=[VOLUME], volumeMounts=[{"name": "data", "mountPath": "/regatta"}]),
        path="spec.volumeMounts[0].mountPath",
        words=("belong", "to Regatta"),
    ),
    Bad(
        title="relative mount",
        job=job(volumes=[VOLUME], volumeMounts=[{"name": "data", "mountPath": "data"}]),
        path="spec.volumeMounts[0].mountPath",
        words=("absolute path",),
    ),
    Bad(
        title="mount of no volume",
        job=job(volumes=[VOLUME], volumeMounts=[{"name": "date", "mountPath": "/data"}]),
        path="spec.volumeMounts[0].name",
        words=("no volume is called date", "data"),
        server=False,
    ),
    Bad(
        title="mount over the checkpoints",
        job=job(
            volumes=[VOLUME],
            volumeMounts=[{"name": "data", "mountPath": "/checkpoints/"}],
            checkpoint={"volume": {"emptyDir": {}}},
        ),
        path="spec.volumeMounts[0].mountPath",
        words=("spec.checkpoint",),
        server=False,
    ),
    Bad(
        title="mount over the source",
        job=job(
            volumes=[VOLUME],
            volumeMounts=[{"name": "data", "mountPath": "/workspace"}],
            source={"configMap": {"name": "code"}},
        ),
        path="spec.volumeMounts[0].mountPath",
        words=("spec.source",),
        server=False,
    ),
    Bad(
        title="mount inside the source",
        job=job(
            volumes=[VOLUME],
            volumeMounts=[{"name": "data", "mountPath": "/workspace/data"}],
            source={"configMap": {"name": "code"}},
        ),
        path="spec.volumeMounts[0].mountPath",
        words=("inside /workspace",),
        server=False,
    ),
    Bad(
        title="checkpoints inside the source",
        job=job(
            checkpoint={"volume": {"emptyDir": {}}, "path": "/workspace/ck/"}, source={"configMap": {"name": "code"}}
        ),
        path="spec.checkpoint.path",
        words=("read-only",),
        server=False,
    ),
    Bad(
        title="a detour over the runtime",
        job=job(volumes=[VOLUME], volumeMounts=[{"name": "data", "mountPath": "//regatta/./x"}]),
        path="spec.volumeMounts[0].mountPath",
        words=("belongs to Regatta",),
        server=False,
    ),
    # Resources
    Bad(
        title="no quantity",
        job=job(resources={"limits": {"memory": "16 GB"}}),
        path="spec.resources.limits.memory",
        words=("16Gi",),
        server=False,
    ),
    Bad(
        title="negative quantity",
        job=job(resources={"requests": {"cpu": -1}}),
        path="spec.resources.requests.cpu",
        words=("negative",),
        server=False,
    ),
    Bad(
        title="request above limit",
        job=job(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}}),
        path="spec.resources.requests.cpu",
        words=("more than the limit",),
        server=False,
    ),
    Bad(
        title="GPUs as resources",
        job=job(resources={"limits": {"nvidia.com/gpu": 1}}),
        path='spec.resources.limits["nvidia.com/gpu"]',
        words=("spec.gpusPerWorker",),
        server=False,
    ),
    Bad(
        title="misspelt resources",
        job=job(resources={"limit": {"cpu": 1}}),
        path="spec.resources.limit",
        words=("requests or limits",),
        server=False,
    ),
    # Restart rules
    Bad(
        title="rule that names nothing",
        job=job(restart={"rules": [{"action": "Fail"}]}),
        path="spec.restart.rules[0]",
        words=("exitCodes", "causes"),
    ),
    Bad(
        title="exit code 0",
        job=job(restart={"rules": [{"exitCodes": [0], "action": "Fail"}]}),
        path="spec.restart.rules[0].exitCodes[0]",
        words=("at least 1",),
        server_words=("spec.restart.rules[0].exitCodes[0]", "greater than or equal to 1"),
    ),
    Bad(
        title="unknown cause",
        job=job(restart={"rules": [{"causes": ["Bored"], "action": "Fail"}]}),
        path="spec.restart.rules[0].causes[0]",
        words=("Bored", "OOMKilled"),
        server_words=("spec.restart.rules[0].causes[0]", "Unsupported value", "OOMKilled"),
    ),
    Bad(
        title="cause by which no attempt fails",
        job=job(restart={"rules": [{"causes": ["QuotaExceeded"], "action": "Fail"}]}),
        path="spec.restart.rules[0].causes[0]",
        words=("QuotaExceeded", "OOMKilled"),
        server_words=("spec.restart.rules[0].causes[0]", "Unsupported value", "OOMKilled"),
    ),
    # The overlay
    Bad(
        title="overlay of neither part",
        job=job(podTemplate={"containers": []}),
        path="spec.podTemplate.containers",
        words=("unknown field", "metadata and spec"),
        server_words=("unknown field", "spec.podTemplate.containers"),
    ),
    Bad(
        title="overlay into another namespace",
        job=job(podTemplate={"metadata": {"namespace": "kube-system"}}),
        path="spec.podTemplate.metadata.namespace",
        words=("leave it out",),
        server_words=("unknown field", "spec.podTemplate.metadata.namespace"),
    ),
    Bad(
        title="label of ours",
        job=job(podTemplate={"metadata": {"labels": {"regatta.dev/worker": "0"}}}),
        path='spec.podTemplate.metadata.labels["regatta.dev/worker"]',
        words=("Regatta finds its pods",),
        server=False,
    ),
    Bad(
        title="label that no label can be",
        job=job(podTemplate={"metadata": {"labels": {"team": "a b"}}}),
        path="spec.podTemplate.metadata.labels.team",
        words=("at most 63",),
        server=False,
    ),
    Bad(
        title="containers by name",
        job=job(podTemplate={"spec": {"containers": {"trainer": {}}}}),
        path="spec.podTemplate.spec.containers",
        words=("write a list",),
        server_words=("spec.podTemplate.spec.containers",),
    ),
    Bad(
        title="container without name",
        job=job(podTemplate={"spec": {"containers": [{"image": "x"}]}}),
        path="spec.podTemplate.spec.containers[0].name",
        words=("equired",),
    ),
    Bad(
        title="sidecar without image",
        job=job(podTemplate={"spec": {"containers": [{"name": "train"}]}}),
        path="spec.podTemplate.spec.containers[0].image",
        words=("container of its own", "trainer"),
        server=False,
    ),
    Bad(
        title="two trainers",
        job=job(podTemplate={"spec": {"containers": [{"name": "trainer"}, {"name": "trainer"}]}}),
        path="spec.podTemplate.spec.containers[1].name",
        words=("two containers",),
        server=False,
    ),
    Bad(
        title="trainer's command in the overlay",
        job=job(podTemplate=trainer(command=["sh"])),
        path="spec.podTemplate.spec.containers[0].command",
        words=("spec.command",),
        server=False,
    ),
    Bad(
        title="trainer's image in the overlay",
        job=job(podTemplate=trainer(image="x")),
        path="spec.podTemplate.spec.containers[0].image",
        words=("spec.image",),
        server=False,
    ),
    Bad(
        title="trainer's probe in the overlay",
        job=job(podTemplate=trainer(startupProbe={"exec": {"command": ["true"]}})),
        path="spec.podTemplate.spec.containers[0].startupProbe",
        words=("leave it out",),
        server=False,
    ),
    Bad(
        title="trainer's rank in the overlay",
        job=job(podTemplate=trainer(env=[{"name": "WORLD_SIZE", "value": "2"}])),
        path="spec.podTemplate.spec.containers[0].env[0].name",
        words=("computed for every process",),
        server=False,
    ),
    Bad(
        title="trainer's mounts taken away",
        job=job(podTemplate=trainer(volumeMounts=None)),
        path="spec.podTemplate.spec.containers[0].volumeMounts",
        words=("write a list",),
        server=False,
    ),
    Bad(
        title="trainer replaced",
        job=job(podTemplate=trainer(**{"$patch": "replace"})),
        path='spec.podTemplate.spec.containers[0]["$patch"]',
        words=("not replaced",),
        server=False,
    ),
    Bad(
        title="pod restarted by the kubelet",
        job=job(podTemplate={"spec": {"restartPolicy": "Always"}}),
        path="spec.podTemplate.spec.restartPolicy",
        words=("spec.restart",),
        server=False,
    ),
    Bad(
        title="runtime's init container",
        job=job(podTemplate={"spec": {"initContainers": [{"name": "regatta-runtime", "image": "x"}]}}),
        path="spec.podTemplate.spec.initContainers[0].name",
        words=("belongs to Regatta",),
        server=False,
    ),
    Bad(
        title="stall deadline without the runtime that would see a stall",
        job=job(runtime="Off", image="registry.example/app:1", deadlines={"stalled": 60}),
        path="spec.deadlines.stalled",
        words=("needs the runtime", "leave it out"),
    ),
    Bad(
        title="compile where no framework compiles without a change of the code",
        job=job(compile=True),
        path="spec.compile",
        words=("needs framework TensorFlow", "torch.compile"),
    ),
    Bad(
        title="processes of TensorFlow, which drives all GPUs from one",
        job=job(framework="TensorFlow", processesPerWorker=2),
        path="spec.processesPerWorker",
        words=("one process drives all GPUs", "leave it out"),
    ),
    Bad(
        title="TensorFlow's workers without the runtime that tells them of each other",
        job=job(framework="TensorFlow", runtime="Off", workers=2),
        path="spec.runtime",
        words=("TF_CONFIG", "leave out runtime: Off"),
    ),
    Bad(
        title="Horovod's workers without the runtime through which they find each other",
        job=job(framework="Horovod", runtime="Off", workers=2),
        path="spec.runtime",
        words=("find each other", "leave out runtime: Off"),
    ),
    Bad(
        title="Horovod compiled",
        job=job(framework="Horovod", compile=True),
        path="spec.compile",
        words=("needs framework TensorFlow",),
    ),
    Bad(
        title="compiled Keras on torch",
        job=job(framework="Keras", kerasBackend="torch", compile=True),
        path="spec.compile",
        words=("Keras on it", "jit_compile=True"),
    ),
    Bad(
        title="processes of Keras on TensorFlow",
        job=job(framework="Keras", kerasBackend="tensorflow", processesPerWorker=2),
        path="spec.processesPerWorker",
        words=("one process drives all GPUs",),
    ),
    Bad(
        title="Keras's workers on TensorFlow without the runtime",
        job=job(framework="Keras", kerasBackend="tensorflow", runtime="Off", workers=2),
        path="spec.runtime",
        words=("TF_CONFIG",),
    ),
    *feed_cases.BAD,
)

GOOD = (
    *feed_cases.GOOD,
    Good(title="the least"),
    Good(title="name of 63", job=job("a" * 63)),
    Good(title="name that begins with a digit", job=job("1a")),
    Good(title="Custom", job=job(framework="Custom", image="busybox:1.37", command=["sh", "-c", "true"])),
    Good(
        title="TensorFlow on every GPU of two workers, compiled",
        job=job(framework="TensorFlow", workers=2, gpusPerWorker=8, processesPerWorker=1, compile=True),
    ),
    Good(title="Horovod on every GPU of two workers", job=job(framework="Horovod", workers=2, gpusPerWorker=8)),
    Good(title="Horovod without the runtime", job=job(framework="Horovod", runtime="Off", command=...)),
    Good(
        title="Keras on every GPU of two workers",
        job=job(framework="Keras", kerasBackend="torch", workers=2, gpusPerWorker=8, processesPerWorker=8),
    ),
    Good(
        title="Keras on TensorFlow, compiled, with a word too many",
        job=job(
            framework="Keras",
            kerasBackend="tensorflow",
            workers=2,
            compile=True,
            env=[{"name": "KERAS_BACKEND", "value": "tensorflow"}],
        ),
    ),
    Good(title="TensorFlow without the runtime", job=job(framework="TensorFlow", runtime="Off", command=...)),
    Good(title="an image's own entrypoint", job=job(runtime="Off", command=..., image="registry.example/app:1")),
    Good(title="a gang and pods that stay", job=job(scheduling={"gang": "Native"}, cleanup="None")),
    Good(title="a name and no value", job=job(env=None, args=None, volumes=None, checkpoint=None, podTemplate=None)),
    Good(
        title="what asks for nothing",
        job=job(
            preprocessing=None,
            restart={"rules": [], "maxRestarts": 0},
            deadlines={"queued": None, "starting": None, "active": None, "stalled": None},
            scheduling={"gang": "None"},
            suspend=False,
            compile=False,
            cleanup="Running",
            ttlSecondsAfterFinished=None,
            podTemplate={"metadata": {}, "spec": {}},
            resources={},
        ),
    ),
    Good(
        title="everything there is",
        job=job(
            image="registry.example.com/team/app@sha256:" + "0" * 64,
            args=["--epochs", "3"],
            source={"inline": {"train.py": "print('hello')\n", "util_2.py": ""}},
            env=[
                {"name": "REGATTA_LOG_PREFIX", "value": "0"},
                {"name": "HOROVOD_FUSION_THRESHOLD", "value": "1"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ],
            envFrom=[{"secretRef": {"name": "keys"}, "prefix": "KEY_"}],
            volumes=[VOLUME, {"name": "scratch", "someday": {"new": [1, {"a": None}]}}],
            volumeMounts=[{"name": "data", "mountPath": "/data", "readOnly": True}],
            workers=10_000,
            gpusPerWorker=8,
            gpuResource="amd.com/gpu",
            processesPerWorker=4,
            resources={"requests": {"cpu": 1, "memory": "1.5Gi"}, "limits": {"cpu": "2500m", "memory": "2Gi"}},
            checkpoint={"volume": {"persistentVolumeClaim": {"claimName": "ck"}}, "path": "/mnt/ck"},
            scheduling={
                "gang": "Auto",
                "schedulerName": "default-scheduler",
                "priorityClassName": "high",
                "nodeSelector": {"pool": "gpu"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
                "affinity": {"podAffinity": {}},
            },
            restart={
                "maxRestarts": 10,
                "rules": [
                    {"exitCodes": [42], "action": "Fail"},
                    {"causes": ["OOMKilled"], "exitCodes": [137], "action": "Restart"},
                ],
            },
            deadlines={"queued": 3600, "starting": 600, "active": 86400, "stalled": 900},
            suspend=True,
            cleanup="All",
            ttlSecondsAfterFinished=0,
            podTemplate={
                "metadata": {"labels": {"team": "vision"}, "annotations": {"a.b/c": "any text at all"}},
                "spec": {
                    "serviceAccountName": "trainer",
                    "hostNetwork": False,
                    "terminationGracePeriodSeconds": 600,
                    "volumes": [{"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}],
                    "containers": [
                        {"name": "trainer", "securityContext": {"runAsUser": 0}, "env": [{"name": "A", "value": ""}]},
                        {
                            "name": "sync",
                            "image": "busybox",
                            "volumeMounts": [{"name": "dshm", "mountPath": "/dev/shm"}],
                        },
                    ],
                },
            },
        ),
    ),
)
