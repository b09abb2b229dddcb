"""Alarms on metrics."""

from __future__ import annotations

from typing import Any

from tests.cloud.kinds.base import Aws, Kind, Values, gone_is_none, tag_list, tag_map

NAMES = {
    "alarmDescription": "AlarmDescription",
    "actionsEnabled": "ActionsEnabled",
    "okActions": "OKActions",
    "alarmActions": "AlarmActions",
    "insufficientDataActions": "InsufficientDataActions",
    "metricName": "MetricName",
    "namespace": "Namespace",
    "statistic": "Statistic",
    "period": "Period",
    "unit": "Unit",
    "evaluationPeriods": "EvaluationPeriods",
    "datapointsToAlarm": "DatapointsToAlarm",
    "threshold": "Threshold",
    "comparisonOperator": "ComparisonOperator",
    "treatMissingData": "TreatMissingData",
}
"""Pulumi's names and CloudWatch's."""


class MetricAlarm(Kind):
    type = "aws:cloudwatch/metricAlarm:MetricAlarm"
    noun = "CloudWatch Metric Alarm"
    required = ("comparisonOperator", "evaluationPeriods")
    named = "name"
    computed = frozenset({"unit", "datapointsToAlarm"})
    changes = frozenset({*NAMES, "dimensions", "tags"})
    defaults = {"actionsEnabled": True, "treatMissingData": "missing"}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        self._put(aws, inputs, Tags=tag_list(inputs.get("tags")))
        return str(inputs["name"])

    @staticmethod
    def _put(aws: Aws, inputs: Values, **more: Any) -> None:
        dimensions = [
            {"Name": key, "Value": value} for key, value in (inputs.get("dimensions") or {}).items()
        ]
        wanted = {theirs: inputs[ours] for ours, theirs in NAMES.items() if inputs.get(ours) is not None}
        aws.client("cloudwatch").put_metric_alarm(
            AlarmName=inputs["name"], Dimensions=dimensions, **wanted, **more
        )

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        client = aws.client("cloudwatch")
        found = client.describe_alarms(AlarmNames=[identity])["MetricAlarms"]
        if not found:
            return None
        one = found[0]
        tags = client.list_tags_for_resource(ResourceARN=one["AlarmArn"])["Tags"]
        return {
            **{ours: one.get(theirs) for ours, theirs in NAMES.items()},
            "arn": one["AlarmArn"],
            "name": one["AlarmName"],
            "dimensions": {each["Name"]: each["Value"] for each in one.get("Dimensions", [])},
            "tags": tag_map(tags),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        client = aws.client("cloudwatch")
        if changed - {"tags"}:
            self._put(aws, new)
        before, after = old.get("tags") or {}, new.get("tags") or {}
        dropped = [key for key in before if key not in after]
        if dropped:
            client.untag_resource(ResourceARN=old["arn"], TagKeys=dropped)
        if after != before:
            client.tag_resource(ResourceARN=old["arn"], Tags=tag_list(after))

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.client("cloudwatch").delete_alarms(AlarmNames=[identity]), "ResourceNotFound"
        )
