{{- define "rlhf-monitor.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "rlhf-monitor.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "rlhf-monitor.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "rlhf-monitor.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "rlhf-monitor.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rlhf-monitor.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: worker
{{- end -}}

{{- define "rlhf-monitor.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "rlhf-monitor.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "rlhf-monitor.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "rlhf-monitor.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "rlhf-monitor.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "rlhf-monitor.postgresEnv" -}}
- name: MONITOR_POSTGRES__URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.postgres.secret.name }}
      key: {{ .Values.postgres.secret.key }}
{{- with .Values.postgres.tls }}
{{- if .ca.secret }}
# libpq's own; what the URL says wins.
- {name: PGSSLMODE, value: verify-full}
- {name: PGSSLROOTCERT, value: {{ include "rlhf-monitor.tlsPath" "postgres" }}/ca.crt}
{{- end }}
{{- if .certificate.secret }}
- {name: PGSSLCERT, value: {{ include "rlhf-monitor.tlsPath" "postgres" }}/tls.crt}
- {name: PGSSLKEY, value: {{ include "rlhf-monitor.tlsPath" "postgres" }}/tls.key}
{{- end }}
{{- end }}
{{- end -}}

{{- define "rlhf-monitor.tlsPath" -}}
/etc/rlhf-monitor-tls/{{ . }}
{{- end -}}

{{/* One folder with ca.crt, tls.crt and tls.key, as far as secrets are named; of "of" (kafka or postgres) by its "tls". */}}
{{- define "rlhf-monitor.tlsVolume" -}}
{{- if or .tls.ca.secret .tls.certificate.secret -}}
- name: {{ .of }}-tls
  projected:
    defaultMode: 0440  # libpq takes a key that its group may read, and nobody else
    sources:
      {{- if .tls.ca.secret }}
      - secret:
          name: {{ .tls.ca.secret }}
          items:
            - {key: {{ .tls.ca.key }}, path: ca.crt}
      {{- end }}
      {{- if .tls.certificate.secret }}
      - secret:
          name: {{ .tls.certificate.secret }}
          items:
            - {key: {{ .tls.certificate.cert }}, path: tls.crt}
            - {key: {{ .tls.certificate.key }}, path: tls.key}
      {{- end }}
{{- end -}}
{{- end -}}

{{- define "rlhf-monitor.tlsMount" -}}
{{- if or .tls.ca.secret .tls.certificate.secret -}}
- name: {{ .of }}-tls
  mountPath: {{ include "rlhf-monitor.tlsPath" .of }}
  readOnly: true
{{- end -}}
{{- end -}}

{{- define "rlhf-monitor.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "rlhf-monitor.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Where the runbooks are served, for alerts, dashboards and the daemon's own messages; empty: nowhere. */}}
{{- define "rlhf-monitor.runbooks" -}}
{{- $rule := .Values.prometheusRule.runbookUrl | trimSuffix "/" -}}
{{- $own := dig "notify" "runbooks" "" .Values.config | default "" | trimSuffix "/" -}}
{{- if and $rule $own (ne $rule $own) -}}
{{- fail (printf "prometheusRule.runbookUrl=%s and config.notify.runbooks=%s are one address; wanted one of them" $rule $own) -}}
{{- end -}}
{{- $rule | default $own -}}
{{- end -}}

{{/* The settings file: the user's, with what the chart itself decides on top. */}}
{{- define "rlhf-monitor.config" -}}
{{- $own := dict
      "drain_seconds" .Values.drainSeconds
      "web" (dict "host" "0.0.0.0" "port" .Values.web.port)
      "retrain" (dict "folder" .Values.retrain.mountPath) -}}
{{- with include "rlhf-monitor.runbooks" . -}}
{{- $_ := set $own "notify" (dict "runbooks" .) -}}
{{- end -}}
{{- $files := dict -}}
{{- with .Values.kafka.tls -}}
{{- $folder := include "rlhf-monitor.tlsPath" "kafka" -}}
{{- if .ca.secret -}}
{{- $_ := set $files "ssl_cafile" (printf "%s/ca.crt" $folder) -}}
{{- end -}}
{{- if .certificate.secret -}}
{{- $_ := set $files "ssl_certfile" (printf "%s/tls.crt" $folder) -}}
{{- $_ := set $files "ssl_keyfile" (printf "%s/tls.key" $folder) -}}
{{- end -}}
{{- end -}}
{{- if $files -}}
{{- $_ := set $own "kafka" $files -}}
{{- end -}}
{{- if .Values.retrain.kubernetes.enabled -}}
{{- $jobs := dict "namespace" .Release.Namespace "image" (include "rlhf-monitor.image" .) -}}
{{- if not (dig "retrain" "kubernetes" "store" "" .Values.config) -}}
{{- $_ := set $jobs "volume_claim" (include "rlhf-monitor.retrainClaim" .) -}}
{{- end -}}
{{- if .Values.models.existingClaim -}}
{{- $_ := set $jobs "volumes" (dict .Values.models.existingClaim .Values.models.mountPath) -}}
{{- end -}}
{{- $jobs = mergeOverwrite $jobs (dig "retrain" "kubernetes" dict .Values.config) -}}
{{- $own = mergeOverwrite $own (dict "retrain" (dict "launcher" "kubernetes" "kubernetes" $jobs)) -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toYaml -}}
{{- end -}}

{{- define "rlhf-monitor.retrainClaim" -}}
{{- .Values.retrain.persistence.existingClaim | default (printf "%s-retrain" (include "rlhf-monitor.fullname" .)) -}}
{{- end -}}

{{/* Every replica must see the models that any of them has trained, and so must a run that shares no store. */}}
{{- define "rlhf-monitor.checkVolume" -}}
{{- $volume := .Values.retrain.persistence -}}
{{- if and (gt (int .Values.replicas) 1) $volume.enabled (not $volume.existingClaim) (ne $volume.accessMode "ReadWriteMany") -}}
{{- fail (printf "retrain.persistence.accessMode=%s: %d replicas share the folder; wanted ReadWriteMany" $volume.accessMode (int .Values.replicas)) -}}
{{- end -}}
{{- end -}}

{{- define "rlhf-monitor.checkJobs" -}}
{{- $volume := .Values.retrain.persistence -}}
{{- if and .Values.retrain.kubernetes.enabled (not (dig "retrain" "kubernetes" "store" "" .Values.config)) -}}
{{- if not $volume.enabled -}}
{{- fail "retrain.kubernetes.enabled: runs and daemon share no volume; wanted retrain.persistence.enabled or config.retrain.kubernetes.store" -}}
{{- else if and (not $volume.existingClaim) (ne $volume.accessMode "ReadWriteMany") -}}
{{- fail (printf "retrain.persistence.accessMode=%s: runs on other nodes share the folder; wanted ReadWriteMany or config.retrain.kubernetes.store" $volume.accessMode) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "rlhf-monitor.resources" -}}
{{- $resources := deepCopy .Values.resources -}}
{{- if .Values.gpu.enabled -}}
{{- $resources = mergeOverwrite $resources (dict "limits" (dict "nvidia.com/gpu" .Values.gpu.count)) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
