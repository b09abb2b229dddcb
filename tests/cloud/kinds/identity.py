"""Who instances are: roles, their policies, and the profiles that carry them."""

from __future__ import annotations

import json
import uuid
from typing import Any

from tests.cloud.kinds.base import Aws, Kind, Values, given, gone_is_none, tag_list, tag_map

MISSING = "NoSuchEntity"


def document(text: Any) -> str:
    """A policy as one text, so that two that say the same are the same."""
    parsed = json.loads(text) if isinstance(text, str) else text
    return json.dumps(parsed, sort_keys=True, separators=(",", ":"))


class Role(Kind):
    type = "aws:iam/role:Role"
    noun = "IAM Role"
    required = ("assumeRolePolicy",)
    named = "name"
    changes = frozenset(
        {"assumeRolePolicy", "description", "maxSessionDuration", "forceDetachPolicies", "tags"}
    )
    computed = frozenset({"permissionsBoundary"})
    defaults = {"path": "/", "maxSessionDuration": 3600, "forceDetachPolicies": False}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        aws.iam.create_role(
            RoleName=inputs["name"],
            AssumeRolePolicyDocument=document(inputs["assumeRolePolicy"]),
            Path=inputs["path"],
            MaxSessionDuration=inputs["maxSessionDuration"],
            Tags=tag_list(inputs.get("tags")),
            **given(
                Description=inputs.get("description"), PermissionsBoundary=inputs.get("permissionsBoundary")
            ),
        )
        return inputs["name"]

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(lambda: aws.iam.get_role(RoleName=identity), MISSING)
        if not found:
            return None
        role = found["Role"]
        trusted = role["AssumeRolePolicyDocument"]
        return {
            "arn": role["Arn"],
            "name": role["RoleName"],
            "path": role["Path"],
            "uniqueId": role["RoleId"],
            "assumeRolePolicy": document(trusted),
            "description": role.get("Description", ""),
            "maxSessionDuration": role.get("MaxSessionDuration", 3600),
            "forceDetachPolicies": state.get("forceDetachPolicies", False),
            "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
            "tags": tag_map(role.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        if "assumeRolePolicy" in changed:
            aws.iam.update_assume_role_policy(
                RoleName=identity, PolicyDocument=document(new["assumeRolePolicy"])
            )
        if changed & {"description", "maxSessionDuration"}:
            aws.iam.update_role(
                RoleName=identity,
                Description=new.get("description", ""),
                MaxSessionDuration=new["maxSessionDuration"],
            )
        dropped = [key for key in old.get("tags") or {} if key not in (new.get("tags") or {})]
        if dropped:
            aws.iam.untag_role(RoleName=identity, TagKeys=dropped)
        if new.get("tags"):
            aws.iam.tag_role(RoleName=identity, Tags=tag_list(new["tags"]))

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(lambda: aws.iam.delete_role(RoleName=identity), MISSING)


class RolePolicy(Kind):
    type = "aws:iam/rolePolicy:RolePolicy"
    noun = "IAM Role Policy"
    required = ("policy", "role")
    named = "name"
    changes = frozenset({"policy"})
    tagged = False

    def create(self, aws: Aws, inputs: Values) -> str:
        aws.iam.put_role_policy(
            RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=document(inputs["policy"])
        )
        return f"{inputs['role']}:{inputs['name']}"

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        role, _, name = identity.partition(":")
        found = gone_is_none(lambda: aws.iam.get_role_policy(RoleName=role, PolicyName=name), MISSING)
        if not found:
            return None
        return {"role": role, "name": name, "policy": document(found["PolicyDocument"])}

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        self.create(aws, new)

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        role, _, name = identity.partition(":")
        gone_is_none(lambda: aws.iam.delete_role_policy(RoleName=role, PolicyName=name), MISSING)


class RolePolicyAttachment(Kind):
    type = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    noun = "IAM Role Policy Attachment"
    required = ("policyArn", "role")
    tagged = False

    def create(self, aws: Aws, inputs: Values) -> str:
        aws.iam.attach_role_policy(RoleName=inputs["role"], PolicyArn=inputs["policyArn"])
        return f"{inputs['role']}-{uuid.uuid4().hex[:26]}"

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        role, arn = state.get("role"), state.get("policyArn")
        if not role:
            role, _, arn = identity.partition("/")
        found = gone_is_none(lambda: aws.iam.list_attached_role_policies(RoleName=role), MISSING)
        attached = {one["PolicyArn"] for one in found["AttachedPolicies"]} if found else set()
        return {"role": role, "policyArn": arn} if arn in attached else None

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        gone_is_none(
            lambda: aws.iam.detach_role_policy(RoleName=state["role"], PolicyArn=state["policyArn"]), MISSING
        )


class InstanceProfile(Kind):
    type = "aws:iam/instanceProfile:InstanceProfile"
    noun = "IAM Instance Profile"
    named = "name"
    changes = frozenset({"role", "tags"})
    defaults = {"path": "/"}  # noqa: RUF012

    def create(self, aws: Aws, inputs: Values) -> str:
        aws.iam.create_instance_profile(
            InstanceProfileName=inputs["name"], Path=inputs["path"], Tags=tag_list(inputs.get("tags"))
        )
        return inputs["name"]

    def complete(self, aws: Aws, identity: str, inputs: Values) -> None:
        if inputs.get("role"):
            aws.iam.add_role_to_instance_profile(InstanceProfileName=identity, RoleName=inputs["role"])

    def read(self, aws: Aws, identity: str, state: Values) -> Values | None:
        found = gone_is_none(lambda: aws.iam.get_instance_profile(InstanceProfileName=identity), MISSING)
        if not found:
            return None
        profile = found["InstanceProfile"]
        return {
            "arn": profile["Arn"],
            "name": profile["InstanceProfileName"],
            "path": profile["Path"],
            "uniqueId": profile["InstanceProfileId"],
            "role": profile["Roles"][0]["RoleName"] if profile["Roles"] else "",
            "tags": tag_map(profile.get("Tags")),
        }

    def update(self, aws: Aws, identity: str, old: Values, new: Values, changed: set[str]) -> None:
        if "role" in changed:
            if old.get("role"):
                aws.iam.remove_role_from_instance_profile(InstanceProfileName=identity, RoleName=old["role"])
            self.complete(aws, identity, new)
        dropped = [key for key in old.get("tags") or {} if key not in (new.get("tags") or {})]
        if dropped:
            aws.iam.untag_instance_profile(InstanceProfileName=identity, TagKeys=dropped)
        if new.get("tags"):
            aws.iam.tag_instance_profile(InstanceProfileName=identity, Tags=tag_list(new["tags"]))

    def delete(self, aws: Aws, identity: str, state: Values) -> None:
        if state.get("role"):
            gone_is_none(
                lambda: aws.iam.remove_role_from_instance_profile(
                    InstanceProfileName=identity, RoleName=state["role"]
                ),
                MISSING,
            )
        gone_is_none(lambda: aws.iam.delete_instance_profile(InstanceProfileName=identity), MISSING)
