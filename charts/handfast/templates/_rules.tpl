{{/* What may be read and written, by where it lies. */}}

{{- define "handfast.namespacedRules" -}}
# get: of those that are referred to later.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
- apiGroups: [handfast.dev]
  resources: [upstreamtlspolicies]
  verbs: [list, watch]
- apiGroups: [handfast.dev]
  resources: [upstreamtlspolicies/status]
  verbs: [patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [backendtlspolicies/status]
  verbs: [patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [backendtlspolicies, referencegrants]
  verbs: [list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{- define "handfast.clusterRules" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [list, watch]
- apiGroups: [certificates.k8s.io]
  resources: [clustertrustbundles]
  verbs: [list, watch]
{{- if and .Values.controller.scope.namespaceSelector (not .Values.controller.scope.enabled) }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end }}
{{- if and (include "handfast.publishesNodes" .) (not .Values.controller.reportNodeInternalIp) }}
# External addresses of those that our pods run on.
- apiGroups: [""]
  resources: [nodes]
  verbs: [get]
{{- end }}
{{- end }}

{{/* Of the release's own namespace: the election. */}}
{{- define "handfast.ownRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ default (printf "%s-leader" (include "handfast.fullname" .)) .Values.controller.electionID }}]
  verbs: [get, patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
# Its own.
- apiGroups: [""]
  resources: [pods]
  verbs: [get{{ if include "handfast.publishesNodes" . }}, list{{ end }}]
{{- end }}
