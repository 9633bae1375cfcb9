"""The table, in DynamoDB."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from contract.errors import Transient
from functions.adapters.errors import CONFIG, code_of, translated
from functions.table.ledger import Change, Conflict, D, Put, Record, RecordKey

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


# DynamoDB reads at most this many items in one call.
_GET_AT_MOST = 100


class DynamoLedger:
    """The table, in DynamoDB. An item has `pk`, `sk`, `revision` and the document as JSON."""

    def __init__(self, table_name: str) -> None:
        self._table = table_name

    @cached_property
    def _client(self) -> "DynamoDBClient":
        return boto3.client("dynamodb", config=CONFIG)

    def get(self, key: RecordKey[D]) -> Record[D] | None:
        """See `Ledger.get`."""
        with translated():
            answer = self._client.get_item(
                TableName=self._table,
                Key={"pk": {"S": key.partition}, "sk": {"S": key.sort}},
                ConsistentRead=True,
            )
        return _record(answer["Item"], key.kind) if "Item" in answer else None

    def get_all(self, keys: Sequence[RecordKey[D]]) -> list[Record[D] | None]:
        """See `Ledger.get_all`."""
        wanted = dict.fromkeys((key.partition, key.sort) for key in keys)
        left = [{"pk": {"S": partition}, "sk": {"S": sort}} for partition, sort in wanted]
        found: dict[tuple[str, str], Any] = {}
        while left:
            asked, left = left[:_GET_AT_MOST], left[_GET_AT_MOST:]
            with translated():
                answer = self._client.batch_get_item(
                    RequestItems={self._table: {"Keys": asked, "ConsistentRead": True}}
                )
            for item in answer["Responses"].get(self._table, []):
                found[item["pk"]["S"], item["sk"]["S"]] = item
            unread: Any = answer["UnprocessedKeys"].get(self._table, {"Keys": []})["Keys"]
            if len(unread) == len(asked):
                raise Transient("DynamoDB read none of the items that were asked for")
            left += unread
        items = [(key, found.get((key.partition, key.sort))) for key in keys]
        return [_record(item, key.kind) if item else None for key, item in items]

    def query(
        self,
        partition: str,
        kind: type[D],
        *,
        prefix: str = "",
        start: str = "",
        limit: int | None = None,
        backwards: bool = False,
    ) -> list[Record[D]]:
        """See `Ledger.query`."""
        condition = "pk = :pk"
        values: dict[str, Any] = {":pk": {"S": partition}}
        if start:
            last = prefix + "\U0010ffff"
            condition += " AND sk BETWEEN :first AND :last"
            # No sort key is empty, so a space comes before each of them.
            values[":first"] = {"S": (prefix or " ") if backwards else start}
            values[":last"] = {"S": start if backwards else last}
        elif prefix:
            condition += " AND begins_with(sk, :prefix)"
            values[":prefix"] = {"S": prefix}
        arguments: dict[str, Any] = {"Limit": limit} if limit else {}
        found: list[Record[D]] = []
        while True:
            with translated():
                page = self._client.query(
                    TableName=self._table,
                    KeyConditionExpression=condition,
                    ExpressionAttributeValues=values,
                    ConsistentRead=True,
                    ScanIndexForward=not backwards,
                    **arguments,
                )
            found += [_record(item, kind) for item in page["Items"]]
            if "LastEvaluatedKey" not in page or (limit and len(found) >= limit):
                return found[:limit]
            arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def commit(self, *changes: Change) -> None:
        """See `Ledger.commit`.

        Every commit is a transaction, even one with a single change. botocore sends a token with
        a transaction, so a retry after a lost acknowledgement is not mistaken for a conflict.
        """
        try:
            with translated():
                self._client.transact_write_items(
                    TransactItems=[self._change(change) for change in changes]
                )
        except ClientError as error:
            if code_of(error) == "TransactionCanceledException":
                reasons = {
                    reason.get("Code") for reason in error.response.get("CancellationReasons", [])
                }
                if reasons & {"ConditionalCheckFailed", "TransactionConflict"}:
                    raise Conflict(str(error)) from error
                if reasons & {"ThrottlingError", "ProvisionedThroughputExceeded"}:
                    raise Transient(str(error)) from error
            raise

    def _change(self, change: Change) -> Any:
        key = {"pk": {"S": change.key.partition}, "sk": {"S": change.key.sort}}
        condition: dict[str, Any] = {"TableName": self._table}
        if change.revision:
            condition["ConditionExpression"] = "revision = :revision"
            condition["ExpressionAttributeValues"] = {":revision": {"N": str(change.revision)}}
        else:
            condition["ConditionExpression"] = "attribute_not_exists(pk)"
        if isinstance(change, Put):
            item = {
                **key,
                "revision": {"N": str(change.revision + 1)},
                "document": {"S": change.document.model_dump_json()},
            }
            return {"Put": {**condition, "Item": item}}
        return {"Delete": {**condition, "Key": key}}


def _record(item: Mapping[str, Any], kind: type[D]) -> Record[D]:
    key = RecordKey(item["pk"]["S"], item["sk"]["S"], kind)
    return Record(key, kind.from_json(item["document"]["S"]), int(item["revision"]["N"]))
