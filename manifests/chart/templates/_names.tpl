{{/*
Everything is called tunnelguard, whatever the release: the documentation, the command for an emergency and
`tunnelguard serve` name it so, and two guards in one cluster would ask twice about the same entries.
*/}}

{{- define "tunnelguard.selector" -}}
app.kubernetes.io/name: tunnelguard
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Of [the root, the component]: by the latter parts of install.yaml are applied (../../README.md). */}}
{{- define "tunnelguard.labelsOf" -}}
{{- $root := index . 0 -}}
{{ include "tunnelguard.selector" $root }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/part-of: tunnelguard
{{- end }}

{{/* Of what runs, and what belongs to that. */}}
{{- define "tunnelguard.labels" -}}
{{ include "tunnelguard.labelsOf" (list . "admission-webhook") }}
{{- end }}

{{- define "tunnelguard.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The Secret whose certificate is served; none where tunnelguard makes its own. */}}
{{- define "tunnelguard.tlsSecret" -}}
{{- if ne .Values.certificates.type "self-managed" }}{{ .Values.certificates.secretName }}{{ end }}
{{- end }}

{{/* The ConfigMap with whom the API server trusts, where that is not beside the certificate. */}}
{{- define "tunnelguard.authorities" -}}
{{- if eq .Values.certificates.type "openshift" -}}
{name: openshift-service-ca.crt, items: [{key: service-ca.crt, path: ca.crt}]}
{{- else if and (eq .Values.certificates.type "files") .Values.certificates.caBundle -}}
{name: tunnelguard-authorities}
{{- end }}
{{- end }}

{{/* What both webhook configurations say of themselves. */}}
{{- define "tunnelguard.webhookMetadata" -}}
name: tunnelguard  # both configurations have it, so that one command removes them
labels:
  {{- include "tunnelguard.labelsOf" (list . "webhooks") | nindent 2 }}
annotations:
  # On AKS the Admissions Enforcer adds to every namespaceSelector, and then owns it: the next
  # server-side apply conflicts, GitOps and it undo each other (Azure/AKS#4002). The selector
  # below already excludes what it is there to protect. Elsewhere this means nothing.
  admissions.enforcer/disabled: "true"
  {{- if eq .Values.certificates.type "cert-manager" }}
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/tunnelguard
  {{- else if eq .Values.certificates.type "openshift" }}
  service.beta.openshift.io/inject-cabundle: "true"
  {{- end }}
{{- end }}

{{/* Whom the API server calls; of [the root, the path]. */}}
{{- define "tunnelguard.client" -}}
{{- $root := index . 0 -}}
service:
  name: tunnelguard
  namespace: {{ $root.Release.Namespace | quote }}
  port: 443
  path: {{ index . 1 }}
{{- if and (eq $root.Values.certificates.type "files") $root.Values.certificates.caBundle }}
caBundle: {{ $root.Values.certificates.caBundle | b64enc }}
{{- end }}
{{- end }}

{{/*
Which ServiceEntries are asked about. Where no other source is named, the reason is in Kubernetes' "Admission
Webhook Good Practices"
(kubernetes.io/docs/concepts/cluster-administration/admission-webhooks-good-practices/).
*/}}
{{- define "tunnelguard.entries" -}}
rules:
  - apiGroups: ["networking.istio.io"]
    # Every version that Istio serves; their schemas are equal. Equivalent below would convert to
    # the one listed, but only as long as the cluster serves it (Istio before 1.22 has no v1).
    apiVersions: ["v1", "v1beta1", "v1alpha3"]
    # Not serviceentries/status: istiod writes it, and the API server keeps the spec then
    # (k8s.io/apiextensions-apiserver/pkg/registry/customresource/status_strategy.go).
    resources: ["serviceentries"]
    # A patch or an apply arrives as one of these two. Taking an entry away is never refused.
    operations: ["CREATE", "UPDATE"]
    scope: Namespaced
# By the label that the API server itself sets: whoever may label namespaces cannot opt out. For
# the same reason there is no objectSelector. Whoever may write to these namespaces runs the
# cluster, whose recovery must not wait for a webhook, ours least of all for itself.
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values:
        {{- range concat (list "kube-system" "kube-node-lease" .Release.Namespace) .Values.excludedNamespaces | uniq }}
        - {{ . | quote }}
        {{- end }}
{{- end }}

{{/* What holds of every call. */}}
{{- define "tunnelguard.call" -}}
admissionReviewVersions: ["v1"]  # the only one that tunnelguard speaks
# Nothing is written or sent during a review: dry runs may be asked about, and get true answers.
sideEffects: None
# With Exact, a client could pass by using a version that is not listed.
matchPolicy: Equivalent
# Save the calls to which tunnelguard would answer "allowed" unread. An expression that fails is
# a 403 to the user under Fail (k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions),
# and /mutate also sees objects that the schema is yet to refuse (spec: null, no spec, a
# string), so every optional field is guarded. Nothing is asked of the protocol: TCP ports break
# proxies too (TG005, TG013), and any value may be misspelt.
matchConditions:
  # Nothing may stand in the way of a deletion. The stored object decides: what a client writes
  # into this field is refused, but only after this call. Until a finalizer lets go, such an
  # entry can be edited unjudged; tunnelguard would allow that, too.
  - name: not-being-deleted
    expression: >-
      oldObject == null || !has(oldObject.metadata) || !has(oldObject.metadata.deletionTimestamp)
  # False for labels, annotations, finalizers and files that are applied again, so that a webhook that is
  # down stops nobody from those. Where a later webhook changes the spec of such an update, the validating one
  # is asked about the result.
  - name: spec-changes
    expression: >-
      object == null || oldObject == null || has(object.spec) != has(oldObject.spec) ||
      (has(object.spec) && object.spec != oldObject.spec)
# A review takes microseconds (docs/performance.md), so this is for lost packets and pods that
# vanished; the default is 10. Mutating webhooks wait for one another, within the 34 s that a
# write may take (requestTimeoutUpperBound, k8s.io/apiserver/pkg/endpoints/handlers/rest.go).
timeoutSeconds: {{ .Values.timeoutSeconds }}
{{- end }}
