{{- define "lowbit.fullname" -}}
{{- if contains "lowbit" .Release.Name -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{- else -}}{{ printf "%s-lowbit" .Release.Name | trunc 50 | trimSuffix "-" }}{{- end -}}
{{- end -}}

{{- define "lowbit.selector" -}}
app.kubernetes.io/name: lowbit
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "lowbit.labels" -}}
{{ include "lowbit.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "lowbit.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}{{ .Values.serviceAccount.name | default (include "lowbit.fullname" .) }}{{- else -}}{{ .Values.serviceAccount.name | default "default" }}{{- end -}}
{{- end -}}

{{- define "lowbit.platform" -}}
{{- merge (deepCopy .Values.platform) (dict "operatorImage" .Values.image "imagePullPolicy" .Values.imagePullPolicy) | toYaml -}}
{{- end -}}

{{- define "lowbit.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "lowbit.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/*
What the operator does in the namespaces that it looks after, and no more: tests/api/test_operator_rights.py compares
these rules with the calls of a run. Neither Secrets nor pods/exec are among them.
*/}}
{{- define "lowbit.rules" -}}
- apiGroups: [lowbit.dev]
  resources: [quantizedmodels, modelstores]
  verbs: [get, list, watch]
- apiGroups: [lowbit.dev]
  resources: [quantizedmodels/status, modelstores/status, modelrevisions/status, modelevaluations/status]
  verbs: [update]
- apiGroups: [lowbit.dev]
  resources: [modelrevisions]
  verbs: [get, list, watch, create, delete]
- apiGroups: [lowbit.dev]
  resources: [modelevaluations]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# The other pods of a group go with their leader's: a StatefulSet is made, and removed, and never changed.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, delete]
# The token of a group: written once, and never read.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [apps]
  resources: [replicasets/scale]
  verbs: [patch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log, persistentvolumeclaims]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, list, patch]
{{- if .Values.platform.serviceMonitor }}
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- end -}}
