{{/* The pod template, of a Deployment as of a DaemonSet. */}}

{{- define "handfast.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A probe: the timings of the values, our path and port. */}}
{{- define "handfast.probe" -}}
httpGet:
  path: {{ .path }}
  port: {{ .port }}
{{ omit .timings "httpGet" | toYaml }}
{{- end }}

{{- define "handfast.env" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
{{- with . }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Over nodes and zones as far as possible: of the pods of one revision. */}}
{{- define "handfast.topologySpread" -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- topologyKey: {{ . }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "handfast.selectorLabels" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{- define "handfast.podSecurityContext" -}}
{{- $c := .Values.controller }}
{{- $context := deepCopy $c.podSecurityContext }}
{{- $sysctls := list }}
{{- range $name, $value := $c.sysctls }}{{ $sysctls = append $sysctls (dict "name" $name "value" (toString $value)) }}{{ end }}
{{- $low := or (lt (int $c.containerPort.http) 1024) (lt (int $c.containerPort.https) 1024) }}
{{- range $port, $_ := .Values.tcp }}{{ if lt (int $port) 1024 }}{{ $low = true }}{{ end }}{{ end }}
{{- if $low }}
{{- if $c.hostNetwork }}
{{- fail "with controller.hostNetwork a port below 1024 needs a privilege that the pods don't have: set controller.containerPort, or use controller.hostPort" }}
{{- end }}
{{- if not (hasKey $c.sysctls "net.ipv4.ip_unprivileged_port_start") }}
{{- $sysctls = append $sysctls (dict "name" "net.ipv4.ip_unprivileged_port_start" "value" "0") }}
{{- end }}
{{- end }}
{{- with $sysctls }}{{ $_ := set $context "sysctls" . }}{{ end }}
{{- toYaml $context }}
{{- end }}

{{- define "handfast.controllerContainer" -}}
{{- $c := .Values.controller -}}
# A native sidecar: it starts before the proxy and ends after it, so that a revocation during a long
# drain is enforced.
- name: controller
  restartPolicy: Always
  image: {{ include "handfast.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [handfast-controller]
  args:
    {{- include "handfast.controllerArgs" . | trim | nindent 4 }}
  env:
    {{- include "handfast.env" $c.extraEnvs | nindent 4 }}
  ports:
    - name: ctl-metrics
      containerPort: {{ int .Values.controlPlane.metricsPort }}
    {{- if $c.admissionWebhooks.enabled }}
    - name: webhook
      containerPort: {{ int .Values.controlPlane.webhookPort }}
    {{- end }}
  # No readiness probe: while the API server is away, what was published last is served on.
  livenessProbe:
    {{- include "handfast.probe" (dict "path" "/healthz" "port" "ctl-metrics" "timings" $c.livenessProbe) | nindent 4 }}
  securityContext:
    {{- include "handfast.containerSecurityContext" . | nindent 4 }}
  resources:
    {{- toYaml .Values.controlPlane.resources | nindent 4 }}
  volumeMounts:
    - name: state
      mountPath: /run/handfast
    - name: control
      mountPath: /run/handfast-control
    - name: token
      mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      readOnly: true
    {{- if $c.admissionWebhooks.enabled }}
    - name: webhook
      mountPath: /etc/handfast/webhook
      readOnly: true
    {{- end }}
    {{- with $c.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "handfast.proxyContainer" -}}
{{- $c := .Values.controller -}}
- name: proxy
  image: {{ include "handfast.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [handfast-proxy]
  args:
    {{- include "handfast.proxyArgs" . | trim | nindent 4 }}
  env:
    {{- include "handfast.env" .Values.proxy.extraEnvs | nindent 4 }}
  ports:
    - name: http
      containerPort: {{ int $c.containerPort.http }}
      {{- if $c.hostPort.enabled }}
      hostPort: {{ int $c.hostPort.ports.http }}
      {{- end }}
    - name: https
      containerPort: {{ int $c.containerPort.https }}
      {{- if $c.hostPort.enabled }}
      hostPort: {{ int $c.hostPort.ports.https }}
      {{- end }}
    - name: metrics
      containerPort: {{ int .Values.proxy.metricsPort }}
    {{- range $port, $_ := .Values.tcp }}
    - name: {{ include "handfast.tcpPortName" (dict "root" $ "port" $port) }}
      containerPort: {{ int $port }}
      {{- if $c.hostPort.enabled }}
      hostPort: {{ int $port }}
      {{- end }}
    {{- end }}
  # Ready is who serves a generation made of the whole cluster.
  readinessProbe:
    {{- include "handfast.probe" (dict "path" "/readyz" "port" "metrics" "timings" $c.readinessProbe) | nindent 4 }}
  livenessProbe:
    {{- include "handfast.probe" (dict "path" "/healthz" "port" "metrics" "timings" $c.livenessProbe) | nindent 4 }}
  securityContext:
    {{- include "handfast.containerSecurityContext" . | nindent 4 }}
  resources:
    {{- toYaml $c.resources | nindent 4 }}
  volumeMounts:
    - name: state
      mountPath: /run/handfast
      readOnly: true
    - name: control
      mountPath: /run/handfast-control
    - name: temp
      mountPath: /tmp
    {{- with .Values.proxy.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "handfast.volumes" -}}
# In memory: private keys lie there.
- name: state
  emptyDir:
    medium: Memory
    sizeLimit: {{ .Values.proxy.stateSizeLimit }}
- name: control
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
- name: temp
  emptyDir:
    sizeLimit: {{ .Values.proxy.tempSizeLimit }}
# Mounted by the controller alone.
- name: token
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - key: ca.crt
              path: ca.crt
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- if .Values.controller.admissionWebhooks.enabled }}
- name: webhook
  secret:
    secretName: {{ include "handfast.fullname" . }}-admission
    defaultMode: 0440
{{- end }}
{{- with .Values.controller.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "handfast.podTemplate" -}}
{{- $c := .Values.controller -}}
metadata:
  labels:
    {{- include "handfast.labels" . | nindent 4 }}
    {{- with $c.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with $c.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- if or $c.podAnnotations (and $c.metrics.enabled $c.metrics.podAnnotations) }}
  annotations:
    {{- if and $c.metrics.enabled $c.metrics.podAnnotations }}
    prometheus.io/scrape: "true"
    prometheus.io/port: {{ .Values.proxy.metricsPort | toString | quote }}
    {{- end }}
    {{- with $c.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "handfast.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ int $c.terminationGracePeriodSeconds }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $c.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- if $c.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- if $c.shareProcessNamespace }}
  shareProcessNamespace: true
  {{- end }}
  dnsPolicy: {{ $c.dnsPolicy }}
  {{- with $c.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- include "handfast.podSecurityContext" . | nindent 4 }}
  initContainers:
    {{- with $c.extraInitContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- include "handfast.controllerContainer" . | nindent 4 }}
  containers:
    {{- include "handfast.proxyContainer" . | nindent 4 }}
    {{- with $c.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "handfast.volumes" . | nindent 4 }}
  {{- with $c.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $c.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- tpl (toYaml $c.topologySpreadConstraints) . | nindent 4 }}
  {{- else if eq $c.kind "Deployment" }}
  topologySpreadConstraints:
    {{- include "handfast.topologySpread" . | trim | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "handfast.tcpPortName" -}}
{{- with .root.Values.portNamePrefix }}{{ . }}-{{ end }}{{ .port }}-tcp
{{- end }}
