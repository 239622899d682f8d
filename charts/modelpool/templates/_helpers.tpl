{{- define "modelpool.labels" -}}
app.kubernetes.io/name: modelpool
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What finds the pods of one part: list of root and part. */}}
{{- define "modelpool.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: modelpool
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* The whole metadata of one part's object: list of root, part and name. */}}
{{- define "modelpool.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "modelpool.labels" $root | nindent 2 }}
  app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Repository with digest or tag; ours have the chart's version where no tag is given: list of root and image. */}}
{{- define "modelpool.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* Where the operator and the API take URLs and secrets from. */}}
{{- define "modelpool.secretName" -}}
{{ .Release.Name }}-urls
{{- end }}

{{- define "modelpool.redisUrlRef" -}}
{{- if and (not .Values.redis.enabled) .Values.redis.existingSecret.name -}}
{name: {{ .Values.redis.existingSecret.name }}, key: {{ .Values.redis.existingSecret.key }}}
{{- else -}}
{name: {{ include "modelpool.secretName" . }}, key: redisUrl}
{{- end -}}
{{- end }}

{{- define "modelpool.storeUrlRef" -}}
{{- if and (eq .Values.store.kind "s3") .Values.store.s3.existingSecret.name -}}
{name: {{ .Values.store.s3.existingSecret.name }}, key: {{ .Values.store.s3.existingSecret.key }}}
{{- else -}}
{name: {{ include "modelpool.secretName" . }}, key: storeUrl}
{{- end -}}
{{- end }}

{{- define "modelpool.subjectSecretRef" -}}
{{- with .Values.api.subjectSecret -}}
{name: {{ .existingSecret | default (include "modelpool.secretName" $) }}, key: {{ ternary .key "subjectSecret" (not (empty .existingSecret)) }}}
{{- end -}}
{{- end }}

{{- define "modelpool.adminTokenRef" -}}
{{- with .Values.api.adminToken -}}
{name: {{ .existingSecret | default (include "modelpool.secretName" $) }}, key: {{ ternary .key "adminToken" (not (empty .existingSecret)) }}}
{{- end -}}
{{- end }}

{{/* Variables with the two URLs. */}}
{{- define "modelpool.urls" -}}
- name: MODELPOOL_REDIS_URL
  valueFrom: {secretKeyRef: {{ include "modelpool.redisUrlRef" . }}}
- name: MODELPOOL_STORE_URL
  valueFrom: {secretKeyRef: {{ include "modelpool.storeUrlRef" . }}}
{{- end }}

{{/* What every pod says for the restricted level of Pod Security, and where it may run: list of root and the part's values. */}}
{{- define "modelpool.podSettings" -}}
{{- $root := index . 0 -}}
{{- $part := index . 1 -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $part.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "modelpool.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* The spec of a claim: the values of one persistence block. */}}
{{- define "modelpool.claimSpec" -}}
accessModes: {{- toYaml .accessModes | nindent 2 }}
{{- with .storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources: {requests: {storage: {{ .size }}}}
{{- end }}

{{/* The admission document as the API reads it: with the edge in front, its pods' networks are proxies to be believed. */}}
{{- define "modelpool.admission" -}}
{{- $admission := deepCopy .Values.api.admission -}}
{{- if .Values.edge.enabled -}}
{{- $identity := $admission.identity | default dict -}}
{{- $proxies := concat ($identity.trustedProxies | default list) .Values.edge.podNetworks | uniq -}}
{{- $_ := set $admission "identity" (merge (dict "trustedProxies" $proxies) $identity) -}}
{{- end -}}
{{- toYaml $admission -}}
{{- end }}

{{/* nginx's answer in the form of the API's own problems: dict of status, code, title and detail. */}}
{{- define "modelpool.edgeProblem" -}}
{{- $kind := ternary "server_error" (ternary "rate_limit_error" "invalid_request_error" (eq .status 429)) (ge .status 500) -}}
{{- $ours := printf "https://modelpool.dev/problems/%s" .code -}}
{{- $type := ternary "https://iana.org/assignments/http-problem-types#quota-exceeded" $ours (eq .status 429) -}}
internal;
default_type application/problem+json;
add_header X-Request-Id $edge_request_id always;
add_header Cache-Control no-store always;
add_header Access-Control-Allow-Origin $edge_origin always;
add_header Access-Control-Allow-Credentials $edge_credentials always;
add_header Access-Control-Expose-Headers $edge_told always;
add_header X-Content-Type-Options nosniff always;
add_header Referrer-Policy no-referrer always;
add_header X-Frame-Options DENY always;
add_header Content-Security-Policy "default-src 'none'; frame-ancestors 'none'" always;
{{- $error := dict "message" .detail "type" $kind "code" .code "param" nil }}
return {{ .status }} '{{ dict "type" $type "title" .title "status" .status "detail" .detail "instance" "$edge_instance" "error" $error | toJson }}';
{{- end }}

{{/* Refuse at once what the schema cannot say. */}}
{{- define "modelpool.check" -}}
{{- with .Values.redis -}}
{{- if and .enabled (or .url .existingSecret.name) -}}
{{- fail "redis: enabled starts a Redis of its own; set redis.enabled=false to use redis.url or redis.existingSecret" -}}
{{- end -}}
{{- if and (not .enabled) (not .url) (not .existingSecret.name) -}}
{{- fail "redis: set redis.url or redis.existingSecret.name, or redis.enabled=true for a Redis of its own" -}}
{{- end -}}
{{- if and .url .existingSecret.name -}}
{{- fail "redis: set redis.url or redis.existingSecret.name, not both" -}}
{{- end -}}
{{- end -}}
{{- with .Values.store -}}
{{- if and (eq .kind "s3") (not .s3.url) (not .s3.existingSecret.name) -}}
{{- fail "store: kind s3 needs store.s3.url (s3://bucket/prefix) or store.s3.existingSecret.name" -}}
{{- end -}}
{{- if and (eq .kind "volume") (not .volume.existingClaim) -}}
{{- fail "store: kind volume needs store.volume.existingClaim, a claim that several nodes may write (ReadWriteMany)" -}}
{{- end -}}
{{- end -}}
{{- if lt (int64 .Values.api.maxBodiesBytes) (mul 2 (int64 .Values.api.maxBodyBytes)) -}}
{{- fail "api: maxBodiesBytes is less than twice maxBodyBytes, and one network has half of it, so the largest bodies would never be let in; raise one or lower the other" -}}
{{- end -}}
{{- if .Values.edge.enabled -}}
{{- if not .Values.edge.podNetworks -}}
{{- fail "edge: set edge.podNetworks to the networks of pods' addresses, such as [10.244.0.0/16], so that the API believes what the edge says of its clients; `kubectl get nodes -o jsonpath='{.items[*].spec.podCIDRs}'` lists them in many clusters" -}}
{{- end -}}
{{- if .Values.api.rootPath -}}
{{- fail "edge: it guards the paths below /, so api.rootPath would open /metrics and /v1/admin below that path; leave one of edge.enabled and api.rootPath out" -}}
{{- end -}}
{{- $limits := .Values.edge.limits -}}
{{- $plans := .Values.api.admission.plans | default (dict "paid" (dict "burst" (dict "perSecond" 10 "burst" 50))) -}}
{{- range $name, $plan := $plans -}}
{{- $burst := $plan.burst | default dict -}}
{{- range $part := list "key" "keys" "everything" -}}
{{- $limit := get $limits $part -}}
{{- if or (lt (float64 $limit.perSecond) (float64 ($burst.perSecond | default 2))) (lt (int $limit.burst) (int ($burst.burst | default 5))) -}}
{{- fail (printf "edge: the plan %s of api.admission may take more at one moment than edge.limits.%s lets through; raise perSecond and burst there" $name $part) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
