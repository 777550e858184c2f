"""Publish a bulletin over MQTT and print the receipt; needs nothing of cbgateway.

python mqtt_client.py kt_noc kt_noc.pem cbgateway/v1/test/main 127.0.0.1:1883 <bulletin.json
"""

import base64
import hashlib
import json
import os
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import paho.mqtt.client as mqtt
import rfc8785
from cryptography.hazmat.primitives.serialization import load_pem_private_key

name, key_file, prefix, broker = sys.argv[1:]
key = load_pem_private_key(Path(key_file).read_bytes(), None)


def base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


x = base64url(key.public_key().public_bytes_raw())
thumbprint = hashlib.sha256(rfc8785.dumps({"crv": "Ed25519", "kty": "OKP", "x": x})).digest()
head = {"alg": "Ed25519", "b64": False, "crit": ["b64"], "kid": base64url(thumbprint)[:16]}


def sign(document: dict, content: str) -> str:  # detached JWS (RFC 7797), canonical (RFC 8785)
    header = base64url(rfc8785.dumps({**head, "typ": content}))
    return f"{header}..{base64url(key.sign(header.encode() + b'.' + rfc8785.dumps(document)))}"


document = json.load(sys.stdin)
command = {
    "id": str(uuid.uuid4()),
    "topic": f"{prefix}/cmd/{name}/bulletin/submit",
    "expires": (datetime.now(UTC) + timedelta(minutes=1)).isoformat(),
    "reply_to": f"{prefix}/reply/{name}/{uuid.uuid4()}",
    "document": document,
    "document_signature": sign(document, "cbgateway-submission-1"),
}
command["signature"] = sign(command, "cbgateway-command-1")
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)  # or MQTTv311
client.username_pw_set(name, os.environ.get("MQTT_PASSWORD"))
client.on_subscribe = lambda *_: client.publish(command["topic"], json.dumps(command), qos=1)
client.on_message = lambda *told: (print(told[-1].payload.decode()), client.disconnect())
host, _, port = broker.partition(":")
client.connect(host, int(port))
client.subscribe(command["reply_to"], qos=1)
client.loop_forever()
