{{/* What may be read and written, by where it lies. */}}

{{- define "handfast.namespacedRules" -}}
- apiGroups: [""]
  resources: [services, secrets, configmaps]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [get, update, patch]
- apiGroups: [handfast.dev]
  resources: [upstreamtlspolicies]
  verbs: [get, list, watch]
- apiGroups: [handfast.dev]
  resources: [upstreamtlspolicies/status]
  verbs: [get, update, patch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [backendtlspolicies, referencegrants]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [backendtlspolicies/status]
  verbs: [get, update, patch]
- apiGroups: ["", events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- define "handfast.clusterRules" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [get, list, watch]
- apiGroups: [certificates.k8s.io]
  resources: [clustertrustbundles]
  verbs: [get, list, watch]
{{- if and .Values.controller.scope.namespaceSelector (not .Values.controller.scope.enabled) }}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- end }}
{{- if .Values.controller.reportNodeInternalIp }}
- apiGroups: [""]
  resources: [nodes, pods]
  verbs: [get, list, watch]
{{- end }}
{{- end }}

{{/* Of the release's own namespace: the election. */}}
{{- define "handfast.ownRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ default (printf "%s-leader" (include "handfast.fullname" .)) .Values.controller.electionID }}]
  verbs: [get, update, patch]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
{{- end }}
