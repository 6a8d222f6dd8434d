{{/* Names, labels, the image. */}}

{{- define "handfast.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "handfast.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "handfast.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "handfast.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* What is read: empty for all namespaces. */}}
{{- define "handfast.watched" -}}
{{- if .Values.controller.scope.enabled }}
{{- default (include "handfast.namespace" .) .Values.controller.scope.namespace }}
{{- end }}
{{- end }}

{{/* Without anything that belongs to the cluster as a whole. */}}
{{- define "handfast.namespaced" -}}
{{- if .Values.rbac.scope }}
{{- if not .Values.controller.scope.enabled }}
{{- fail "rbac.scope needs controller.scope.enabled: a Role reads one namespace" }}
{{- end }}
{{- true }}
{{- end }}
{{- end }}

{{/* The Service whose address the Ingresses' status has; empty for none. */}}
{{- define "handfast.publishedService" -}}
{{- $c := .Values.controller }}
{{- if $c.publishService.pathOverride }}
{{- $c.publishService.pathOverride }}
{{- else if and $c.publishService.enabled $c.service.enabled $c.service.external.enabled (not (hasKey $c.extraArgs "publish-status-address")) }}
{{- include "handfast.namespace" . }}/{{ include "handfast.fullname" . }}
{{- end }}
{{- end }}

{{/* Whether it has the addresses of nodes. */}}
{{- define "handfast.publishesNodes" -}}
{{- $extra := .Values.controller.extraArgs }}
{{- if not (or (include "handfast.publishedService" .) (hasKey $extra "publish-service") (hasKey $extra "publish-status-address") (eq (get $extra "update-status" | toString) "false")) }}
{{- true }}
{{- end }}
{{- end }}

{{- define "handfast.selectorLabels" -}}
app.kubernetes.io/name: {{ include "handfast.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "handfast.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "handfast.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "handfast.name" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "handfast.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "handfast.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "handfast.image" -}}
{{- $registry := default .Values.image.registry .Values.global.image.registry }}
{{- with $registry }}{{ . }}/{{ end }}
{{- .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end }}
{{- end }}

{{/* Whether the pods can be several at a time. */}}
{{- define "handfast.several" -}}
{{- $c := .Values.controller }}
{{- if eq $c.kind "Deployment" }}
{{- if $c.autoscaling.enabled }}
{{- if gt (int $c.autoscaling.maxReplicas) 1 }}true{{ end }}
{{- else if gt (int $c.replicaCount) 1 }}true{{ end }}
{{- else }}true{{ end }}
{{- end }}

{{/* One line for each value of ingress-nginx that is set and has no effect: "path: why". */}}
{{- define "handfast.ignored" -}}
{{- $known := .Files.Get "ignored-values.yaml" | fromYaml }}
{{- range $path, $why := $known.values }}
{{- $at := $.Values }}
{{- range $part := splitList "." $path }}
{{- if kindIs "map" $at }}{{ $at = get $at $part }}{{ else }}{{ $at = "" }}{{ end }}
{{- end }}
{{- if $at }}
{{ $path }}: {{ $why }}
{{- end }}
{{- end }}
{{- range $flag, $value := .Values.controller.extraArgs }}
{{- with get $known.flags $flag }}
controller.extraArgs.{{ $flag }}: {{ . }}
{{- end }}
{{- with get $known.restricting_flags $flag }}
{{- fail (printf "controller.extraArgs.%s restricts, and Handfast can't: %s" $flag .) }}
{{- end }}
{{- end }}
{{- $config := .Values.controller.config }}
{{- if and (or (get $config "use-proxy-protocol" | toString | eq "true") (get $config "use-forwarded-headers" | toString | eq "true") (get $config "enable-real-ip" | toString | eq "true")) (not (get $config "proxy-real-ip-cidr")) }}
controller.config: nobody is believed without proxy-real-ip-cidr; name the load balancers' networks there, or in proxy.proxyProtocolFrom and proxy.realIpFrom
{{- end }}
{{- end }}
