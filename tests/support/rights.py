"""What a service account may do, as the API server says it."""

import json

from cluster.kubectl import Kubectl


def rights(kubectl: Kubectl, account: str, namespace: str) -> dict[str, set[str]]:
    """Verbs by ``resource.group`` that ``account`` (``namespace:name``) has in a namespace."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    user = f"--as=system:serviceaccount:{account}"
    answer = kubectl("create", "--output=json", "--validate=false", "--filename=-", user, stdin=json.dumps(review))
    return {
        f"{resource}.{group}": set(rule["verbs"])
        for rule in json.loads(answer)["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
