"""What the gateway does: intake, approval, planning, dispatch, reports."""
