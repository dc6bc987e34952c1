{{- define "regatta.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "regatta.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "regatta.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "regatta.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "regatta.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "regatta.fullname" .) -}}
{{- end -}}

{{- define "regatta.selectorLabels" -}}
app.kubernetes.io/name: {{ include "regatta.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "regatta.ownLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "regatta.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- /* Labels of an object: ours win over commonLabels, for others select by them. */ -}}
{{- define "regatta.labels" -}}
{{- merge (include "regatta.ownLabels" . | fromYaml) .Values.commonLabels | toYaml -}}
{{- end -}}

{{- /* The annotations field of an object, nothing where it has none: (dict "root" $ "own" dict). */ -}}
{{- define "regatta.annotations" -}}
{{- with merge (deepCopy (.own | default dict)) .root.Values.commonAnnotations -}}
annotations: {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{- /* Full reference of an image: (dict "root" $ "image" .Values.image). A digest wins over a tag. */ -}}
{{- define "regatta.image" -}}
{{- $registry := .root.Values.image.registry | trimSuffix "/" -}}
{{- $name := .image.repository -}}
{{- if $registry }}{{ $name = printf "%s/%s" $registry $name }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- /* Images of jobs that name none, as the operator reads them: FRAMEWORK=IMAGE,... */ -}}
{{- define "regatta.frameworkImages" -}}
{{- $pairs := list -}}
{{- range $framework, $image := .Values.frameworkImages -}}
{{- $pairs = append $pairs (printf "%s=%s" $framework (include "regatta.image" (dict "root" $ "image" $image))) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{- define "regatta.prices" -}}
{{- $prices := list -}}
{{- range .Values.prices -}}
{{- $prices = append $prices (printf "%s=%s:%v" .resource .currency .hourly) -}}
{{- end -}}
{{- join "," $prices -}}
{{- end -}}

{{- /* Defaults of jobs, as the operator reads them. What Helm drops because it is null is said: null is a choice here. */ -}}
{{- define "regatta.jobDefaults" -}}
{{- $given := .Values.jobDefaults -}}
{{- $deadlines := $given.deadlines | default dict -}}
{{- $kinds := list -}}
{{- range .Values.gpuResources -}}
{{- $kinds = append $kinds (dict "name" .name "runtimeClassName" (.runtimeClassName | default nil)) -}}
{{- end -}}
{{- dict
      "cleanup" $given.cleanup
      "ttlSecondsAfterFinished" $given.ttlSecondsAfterFinished
      "deadlines" (dict "queued" $deadlines.queued "starting" $deadlines.starting "active" $deadlines.active "stalled" $deadlines.stalled)
      "gang" $given.gang
      "nodeSelector" ($given.nodeSelector | default dict)
      "runtimeClassName" ($given.runtimeClassName | default nil)
      "imagePullSecrets" ($given.imagePullSecrets | default list)
      "gpuResources" $kinds
    | toJson -}}
{{- end -}}

{{- /* Where the job of `helm test` runs: in a namespace that the operator watches. */ -}}
{{- define "regatta.testNamespace" -}}
{{- if .Values.clusterWide }}{{ .Release.Namespace }}{{ else }}{{ first .Values.watchNamespaces }}{{ end -}}
{{- end -}}

{{- /* What the operator may do where TrainingJobs live: nothing that its code does not call. */ -}}
{{- define "regatta.jobRules" -}}
- apiGroups: [regatta.dev]
  resources: [trainingjobs]
  # delete: spec.ttlSecondsAfterFinished.
  verbs: [get, list, watch, delete]
- apiGroups: [regatta.dev]
  resources: [trainingjobs/status]
  verbs: [patch]
# Owner references that block deletion (OwnerReferencesPermissionEnforcement).
- apiGroups: [regatta.dev]
  resources: [trainingjobs/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, delete]
# Read where the name is taken already; they go with their job by garbage collection.
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, create]
{{- if .Values.networkPolicy.jobs.enabled }}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, create]
{{- end }}
# Gangs, where the cluster has Kubernetes' own gang scheduling.
- apiGroups: [scheduling.k8s.io]
  resources: [podgroups]
  verbs: [get, create, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Warnings about pods that hang and whose own status does not say why.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
{{- end -}}
