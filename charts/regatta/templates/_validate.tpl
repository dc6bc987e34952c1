{{- /* What a schema cannot say: values that contradict each other, each with what to write instead. */ -}}
{{- define "regatta.validate" -}}
{{- $values := .Values -}}
{{- if and (not $values.clusterWide) (not $values.watchNamespaces) -}}
{{- fail "clusterWide is false and watchNamespaces is empty, so no TrainingJob would ever run: name the namespaces, as in --set 'watchNamespaces={team-a,team-b}', or leave out clusterWide" -}}
{{- end -}}
{{- if and $values.clusterWide $values.watchNamespaces -}}
{{- fail (printf "watchNamespaces names %s, but clusterWide gives rights in all namespaces: add --set clusterWide=false, or leave out watchNamespaces" (join ", " $values.watchNamespaces)) -}}
{{- end -}}
{{- $needed := addf $values.preStopSeconds $values.stopSeconds -}}
{{- if le (float64 $values.terminationGracePeriodSeconds) $needed -}}
{{- fail (printf "terminationGracePeriodSeconds is %v, but preStopSeconds and stopSeconds together take %v: a replica would be killed at its work; give it more" $values.terminationGracePeriodSeconds $needed) -}}
{{- end -}}
{{- with $values.leaderElection -}}
{{- if or (ge (float64 .retrySeconds) (float64 .renewSeconds)) (ge (float64 .renewSeconds) (float64 .leaseSeconds)) -}}
{{- fail (printf "leaderElection: retrySeconds (%v) must be less than renewSeconds (%v), and that less than leaseSeconds (%v): else two replicas could lead" .retrySeconds .renewSeconds .leaseSeconds) -}}
{{- end -}}
{{- end -}}
{{- if and (not $values.serviceAccount.create) (not $values.serviceAccount.name) -}}
{{- fail "serviceAccount.create is false, so serviceAccount.name must name the account that is there" -}}
{{- end -}}
{{- $kinds := list -}}
{{- range $values.gpuResources -}}
{{- if has .name $kinds -}}
{{- fail (printf "gpuResources names %s twice" .name) -}}
{{- end -}}
{{- $kinds = append $kinds .name -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- if or (hasPrefix "REGATTA_OPERATOR_" .name) (has .name (list "POD_NAME" "POD_NAMESPACE")) -}}
{{- fail (printf "extraEnv: %s is set by the chart; use the value that belongs to it, or extraArgs, which win" .name) -}}
{{- end -}}
{{- end -}}
{{- range list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" -}}
{{- if hasKey $values.podLabels . -}}
{{- fail (printf "podLabels: the Deployment finds its pods by %s; leave it out" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
