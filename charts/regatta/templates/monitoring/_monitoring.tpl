{{- /* Labels of monitors and rules: (list $). */ -}}
{{- define "regatta.monitoringLabels" -}}
{{- $root := index . 0 -}}
{{- merge (include "regatta.labels" $root | fromYaml) $root.Values.monitoring.labels | toYaml -}}
{{- end -}}

{{- /* Stops where the cluster lacks a kind that is asked for: (dict "root" $ "kind" KIND "value" NAME). */ -}}
{{- define "regatta.requireMonitoring" -}}
{{- $api := printf "monitoring.coreos.com/v1/%s" .kind -}}
{{- if not (.root.Capabilities.APIVersions.Has $api) -}}
{{- fail (printf "monitoring.enabled is true, but the cluster does not serve %s: install the CRDs of the Prometheus operator first, or go without with --set monitoring.%s.enabled=false (for `helm template`, tell it of them with --api-versions %s)" $api .value $api) -}}
{{- end -}}
{{- end -}}

{{- /* Rule groups of all files below rules/, with thresholds and runbooks filled in. */ -}}
{{- define "regatta.ruleGroups" -}}
{{- $rules := .Values.monitoring.rules -}}
{{- $known := list -}}
{{- $groups := list -}}
{{- range $path, $bytes := .Files.Glob "rules/*.yaml" -}}
{{- $text := toString $bytes -}}
{{- range $name, $value := $rules.thresholds -}}
{{- $text = replace (printf "<<%s>>" $name) (toString $value) $text -}}
{{- end -}}
{{- if contains "<<" $text -}}
{{- fail (printf "%s names a threshold that monitoring.rules.thresholds lacks: <<%s>>" $path (regexFind "<<[^>]*" $text | trimPrefix "<<")) -}}
{{- end -}}
{{- range $group := (fromYaml $text).groups -}}
{{- $kept := list -}}
{{- range $rule := $group.rules -}}
{{- if $rule.alert -}}
{{- $known = append $known $rule.alert -}}
{{- $_ := set $rule.annotations "runbook_url" (printf "%s#%s" ($rules.runbookURL | trimSuffix "/") (lower $rule.alert)) -}}
{{- $_ := set $rule "labels" (merge $rule.labels $rules.labels) -}}
{{- end -}}
{{- if not (and $rule.alert (has $rule.alert $rules.disabled)) -}}
{{- $kept = append $kept $rule -}}
{{- end -}}
{{- end -}}
{{- if $kept -}}
{{- $made := dict "name" $group.name "rules" $kept -}}
{{- if $rules.interval }}{{ $_ := set $made "interval" $rules.interval }}{{ end -}}
{{- $groups = append $groups $made -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $rules.disabled -}}
{{- if not (has . $known) -}}
{{- fail (printf "monitoring.rules.disabled names %s, which is no alert of this chart; there are %s" . (sortAlpha $known | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}
