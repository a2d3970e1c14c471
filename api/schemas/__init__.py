"""Schemas of requests and answers, for the OpenAPI document; tests hold real answers to it.

Routes write dicts straight to JSON: building these models would double a poll's cost.
"""

from api.schemas.account import Account, ApiKey, ApiKeyList, NewApiKey, RevokedApiKey, WantedApiKey
from api.schemas.batches import Batch, BatchList, BatchResult, BatchWithResults
from api.schemas.feedback import FeedbackAnswer, FeedbackList, FeedbackSummary, GivenFeedback
from api.schemas.files import File, FileList
from api.schemas.health import Alive, Readiness
from api.schemas.model_changes import ModelChange, WantedCanary, WantedPromotion, WantedRollback, WantedShare
from api.schemas.models import Model, ModelList, Version, VersionList
from api.schemas.predictions import Prediction, PredictionList
from api.schemas.problems import Problem
from api.schemas.reports import ModelReport
from api.schemas.status import ServiceStatus, StatusHistory
from api.schemas.submissions import PNG, JsonSubmission, Submission, Then
from api.schemas.webhooks import WebhookDelivery, WebhookDeliveryDetail, WebhookDeliveryList, WebhookSecret

__all__ = [
    "PNG",
    "Account",
    "Alive",
    "ApiKey",
    "ApiKeyList",
    "Batch",
    "BatchList",
    "BatchResult",
    "BatchWithResults",
    "FeedbackAnswer",
    "FeedbackList",
    "FeedbackSummary",
    "File",
    "FileList",
    "GivenFeedback",
    "JsonSubmission",
    "Model",
    "ModelChange",
    "ModelList",
    "ModelReport",
    "NewApiKey",
    "Prediction",
    "PredictionList",
    "Problem",
    "Readiness",
    "RevokedApiKey",
    "ServiceStatus",
    "StatusHistory",
    "Submission",
    "Then",
    "Version",
    "VersionList",
    "WantedApiKey",
    "WantedCanary",
    "WantedPromotion",
    "WantedRollback",
    "WantedShare",
    "WebhookDelivery",
    "WebhookDeliveryDetail",
    "WebhookDeliveryList",
    "WebhookSecret",
]
