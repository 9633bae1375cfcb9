"""Opens the studio on the embedded cloud.

The same page, function, user pool and API as on AWS. Two things differ: its address, because the
names of APIs cannot be resolved on this machine, and that there is a person who may sign in.
"""

from typing import Any
from urllib.parse import urlsplit

from local.cloud.process import EmbeddedCloud

EMAIL = "you@example.com"
PASSWORD = "Reeldrop-on-this-machine-1"
_NOT_IN_AN_UPDATE = {"ClientSecret", "LastModifiedDate", "CreationDate"}


def address(endpoint: str, deployed_url: str) -> str:
    """Where the studio is on the embedded cloud.

    Args:
        endpoint: the URL of the embedded cloud.
        deployed_url: where the stack says that it is.
    """
    api = (urlsplit(deployed_url).hostname or "").partition(".")[0]
    return f"{endpoint}/_aws/execute-api/{api}/$default/"


def open_studio(cloud: EmbeddedCloud, users: str, url: str) -> None:
    """Let the person of this machine sign in at the studio. Safe to repeat.

    Args:
        cloud: the running cloud.
        users: the id of the user pool.
        url: where the studio is.
    """
    cognito = cloud.client("cognito-idp")
    for found in cognito.list_user_pool_clients(UserPoolId=users)["UserPoolClients"]:
        client: dict[str, Any] = cognito.describe_user_pool_client(
            UserPoolId=users, ClientId=found["ClientId"]
        )["UserPoolClient"]
        kept = {
            name: value
            for name, value in client.items()
            if value not in ("", []) and name not in _NOT_IN_AN_UPDATE
        }
        cognito.update_user_pool_client(**{**kept, "CallbackURLs": [url], "LogoutURLs": [url]})
    try:
        cognito.admin_create_user(UserPoolId=users, Username=EMAIL, MessageAction="SUPPRESS")
    except cognito.exceptions.UsernameExistsException:
        return
    cognito.admin_set_user_password(
        UserPoolId=users, Username=EMAIL, Password=PASSWORD, Permanent=True
    )
