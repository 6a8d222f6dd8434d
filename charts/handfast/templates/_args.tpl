{{/*
The command lines of both containers. docs/flags.md has all flags; a test asks the programs whether
they know those that are written here.
*/}}

{{/* A map of flags; a value that is empty or true is a flag alone. */}}
{{- define "handfast.extraArgs" -}}
{{- range $flag, $value := . }}
{{- $text := toString $value }}
{{- if or (kindIs "invalid" $value) (eq $text "") }}
- {{ printf "--%s" $flag | quote }}
{{- else }}
- {{ printf "--%s=%s" $flag $text | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The addresses to listen on, for the port given as .port. */}}
{{- define "handfast.listen" -}}
{{- $service := .root.Values.controller.service }}
{{- $dual := ne (default "SingleStack" $service.ipFamilyPolicy) "SingleStack" }}
{{- $hosts := list }}
{{- if or $dual (has "IPv4" $service.ipFamilies) }}{{ $hosts = append $hosts "0.0.0.0" }}{{ end }}
{{- if or $dual (has "IPv6" $service.ipFamilies) }}{{ $hosts = append $hosts "[::]" }}{{ end }}
{{- $addresses := list }}
{{- range default (list "0.0.0.0") $hosts }}{{ $addresses = append $addresses (printf "%s:%d" . (int $.port)) }}{{ end }}
{{- join "," $addresses }}
{{- end }}

{{/*
Keys of ingress-nginx's ConfigMap that are flags of the proxy: a map from flag to value, as JSON.
What proxy.* says stands before it.
*/}}
{{- define "handfast.configFlags" -}}
{{- $config := .Values.controller.config }}
{{- $flags := dict }}
{{- range list "client-header-timeout" "client-body-timeout" "keep-alive" "keep-alive-requests" "upstream-keepalive-timeout" "max-worker-connections" "compute-full-forwarded-for" }}
{{- $value := get $config . | toString }}
{{- if and $value (or (ne $value "0") (eq . "keep-alive-requests")) }}{{ $_ := set $flags . $value }}{{ end }}
{{- end }}
{{- $workers := get $config "worker-processes" | toString }}
{{- if and $workers (ne $workers "auto") }}{{ $_ := set $flags "workers" $workers }}{{ end }}
{{- if eq (get $config "disable-access-log" | toString) "true" }}{{ $_ := set $flags "access-log" "off" }}{{ end }}
{{- $networks := get $config "proxy-real-ip-cidr" | toString }}
{{- if $networks }}
{{- if eq (get $config "use-proxy-protocol" | toString) "true" }}{{ $_ := set $flags "proxy-protocol-from" $networks }}{{ end }}
{{- if or (eq (get $config "use-forwarded-headers" | toString) "true") (eq (get $config "enable-real-ip" | toString) "true") }}{{ $_ := set $flags "proxy-real-ip-cidr" $networks }}{{ end }}
{{- end }}
{{- with .Values.proxy.proxyProtocolFrom }}{{ $_ := set $flags "proxy-protocol-from" (join "," .) }}{{ end }}
{{- with .Values.proxy.realIpFrom }}{{ $_ := set $flags "proxy-real-ip-cidr" (join "," .) }}{{ end }}
{{- if .Values.proxy.workers }}{{ $_ := set $flags "workers" (toString .Values.proxy.workers) }}{{ end }}
{{- if ne .Values.proxy.accessLog "-" }}{{ $_ := set $flags "access-log" .Values.proxy.accessLog }}{{ end }}
{{- toJson $flags }}
{{- end }}

{{/* What stays in the ConfigMap: keys that have become flags have done their work. */}}
{{- define "handfast.config" -}}
{{- $flags := include "handfast.configFlags" . | fromJson }}
{{- $gone := list "client-header-timeout" "client-body-timeout" "keep-alive" "keep-alive-requests" "upstream-keepalive-timeout" "max-worker-connections" "compute-full-forwarded-for" "worker-processes" "disable-access-log" }}
{{- if hasKey $flags "proxy-protocol-from" }}{{ $gone = append $gone "use-proxy-protocol" }}{{ end }}
{{- if hasKey $flags "proxy-real-ip-cidr" }}{{ $gone = concat $gone (list "use-forwarded-headers" "enable-real-ip") }}{{ end }}
{{- if or (hasKey $flags "proxy-protocol-from") (hasKey $flags "proxy-real-ip-cidr") }}{{ $gone = append $gone "proxy-real-ip-cidr" }}{{ end }}
{{- range $key, $value := .Values.controller.config }}
{{- if not (has $key $gone) }}
{{ $key }}: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "handfast.drainTimeout" -}}
{{- if .Values.proxy.drainTimeout }}
{{- .Values.proxy.drainTimeout }}
{{- else }}
{{- $delay := .Values.proxy.shutdownDelay | toString | trimSuffix "s" | int }}
{{- printf "%ds" (max 1 (sub (int .Values.controller.terminationGracePeriodSeconds) (add $delay 10))) }}
{{- end }}
{{- end }}

{{- define "handfast.proxyArgs" -}}
{{- $c := .Values.controller }}
- --state-dir=/run/handfast/state
- --control=/run/handfast-control/control.sock
- --http={{ include "handfast.listen" (dict "root" . "port" $c.containerPort.http) }}
- --https={{ include "handfast.listen" (dict "root" . "port" $c.containerPort.https) }}
- --metrics={{ include "handfast.listen" (dict "root" . "port" .Values.proxy.metricsPort) }}
- --admin=127.0.0.1:{{ int .Values.proxy.adminPort }}
- --public-http-port={{ int $c.service.ports.http }}
- --public-https-port={{ int $c.service.ports.https }}
- --shutdown-delay={{ .Values.proxy.shutdownDelay }}
- --drain-timeout={{ include "handfast.drainTimeout" . }}
- --log-level={{ .Values.proxy.logLevel }}
{{- with $c.metrics.compatibility }}
- --metrics-compatibility={{ . }}
{{- end }}
{{- $flags := include "handfast.configFlags" . | fromJson }}
{{- range $flag, $value := $flags }}
{{- if not (hasKey $.Values.proxy.extraArgs $flag) }}
- {{ printf "--%s=%s" $flag $value | quote }}
{{- end }}
{{- end }}
{{- include "handfast.extraArgs" .Values.proxy.extraArgs }}
{{- end }}

{{/*
Flags of ingress-nginx that handfast-controller doesn't know yet: they are left out, wherever they
come from. A test fails as soon as one of them is known; then it leaves this list.
*/}}
{{- define "handfast.missingFlags" -}}
ingress-class-by-name update-status-on-shutdown status-update-interval
{{- end }}

{{/*
What handfast-controller needs to know about the cluster. Without --kubeconfig it uses the token of
its pod.
*/}}
{{- define "handfast.kubernetesArgs" -}}
{{- $c := .Values.controller }}
{{- with include "handfast.watched" . }}
- --watch-namespace={{ . }}
{{- else }}
{{- with $c.scope.namespaceSelector }}
- {{ printf "--watch-namespace-selector=%s" . | quote }}
{{- end }}
{{- end }}
{{- if $c.ingressClassByName }}
- --ingress-class-by-name
{{- end }}
{{- with include "handfast.publishedService" . }}
- --publish-service={{ . }}
{{- end }}
{{- if and $c.reportNodeInternalIp (include "handfast.publishesNodes" .) }}
- --report-node-internal-ip-address
{{- end }}
- --election-id={{ default (printf "%s-leader" (include "handfast.fullname" .)) $c.electionID }}
{{- with $c.electionTTL }}
- --election-ttl={{ . }}
{{- end }}
{{- if $c.disableLeaderElection }}
- --disable-leader-election
{{- end }}
{{- if $c.admissionWebhooks.enabled }}
- --validating-webhook=:{{ int .Values.controlPlane.webhookPort }}
- --validating-webhook-certificate=/etc/handfast/webhook/tls.crt
- --validating-webhook-key=/etc/handfast/webhook/tls.key
{{- end }}
{{- end }}

{{- define "handfast.controllerArgs" -}}
{{- $missing := include "handfast.missingFlags" . | replace "\n" " " | splitList " " }}
{{- range include "handfast.allControllerArgs" . | trim | splitList "\n" }}
{{- if not (has (regexFind "[a-z][a-z0-9-]*" .) $missing) }}
{{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "handfast.allControllerArgs" -}}
{{- $c := .Values.controller }}
{{- $known := .Files.Get "ignored-values.yaml" | fromYaml }}
- --state-dir=/run/handfast/state
- --control=/run/handfast-control/control.sock
- --metrics=:{{ int .Values.controlPlane.metricsPort }}
- --log-level={{ .Values.controlPlane.logLevel }}
- --controller-class={{ $c.ingressClassResource.controllerValue }}
- --ingress-class={{ default $c.ingressClassResource.name $c.ingressClass }}
{{- if $c.watchIngressWithoutClass }}
- --watch-ingress-without-class
{{- end }}
- --configmap={{ default (include "handfast.namespace" .) $c.configMapNamespace }}/{{ include "handfast.fullname" . }}
{{- if or .Values.tcp $c.tcp.configMapNamespace }}
- --tcp-services-configmap={{ default (include "handfast.namespace" .) $c.tcp.configMapNamespace }}/{{ include "handfast.fullname" . }}-tcp
- --reserved-tcp-ports={{ join "," (list (int $c.containerPort.http) (int $c.containerPort.https) (int .Values.controlPlane.webhookPort) (int .Values.controlPlane.metricsPort) (int .Values.proxy.metricsPort) (int .Values.proxy.adminPort)) }}
{{- end }}
{{- range .Values.upstreamTLS.minimum }}
- {{ printf "--minimum-upstream-tls=%s" . | quote }}
{{- end }}
{{- with .Values.upstreamTLS.defaultCA }}
- {{ printf "--default-upstream-ca=%s" . | quote }}
{{- end }}
{{- with .Values.upstreamTLS.allowInsecure }}
- {{ printf "--allow-insecure-upstream=%s" (join "," .) | quote }}
{{- end }}
{{- with .Values.upstreamTLS.allowTrustDrain }}
- {{ printf "--allow-trust-drain=%s" (join "," .) | quote }}
{{- end }}
{{- with .Values.upstreamTLS.audit }}
- {{ printf "--upstream-verification-audit=%s" (join "," .) | quote }}
{{- end }}
{{- include "handfast.kubernetesArgs" . }}
{{- $extra := dict }}
{{- range $flag, $value := $c.extraArgs }}
{{- if not (hasKey $known.flags $flag) }}{{ $_ := set $extra $flag $value }}{{ end }}
{{- end }}
{{- include "handfast.extraArgs" $extra }}
{{- end }}
