package spool

// The metadata keys under which a judged record carries what its detectors
// made of it. The values are text like all metadata: numbers from 0 to 1 with
// at most 4 decimals, such as "0.93".
const (
	KeyAnomalyScore    = "anomaly_score"
	KeyPrediction      = "prediction"       // the label with the highest probability
	KeyPredictionScore = "prediction_score" // that probability
	KeyModel           = "model"            // whose score it is
	KeyModelVersion    = "model_version"
)

// ScoreKeys are these keys.
var ScoreKeys = []string{KeyAnomalyScore, KeyPrediction, KeyPredictionScore, KeyModel, KeyModelVersion}
