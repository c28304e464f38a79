// From a checkpoint's names to what the operations want: packed matrices and f32 vectors.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "kernels/parameter.h"
#include "models/model.h"
#include "models/weights/axis.h"
#include "models/weights/matrix_rows.h"
#include "models/weights/quantization.h"
#include "models/weights/stored_matrix.h"

namespace braid {

// One matrix of a stack: its tensor's name and its rows.
struct RowsOf {
  std::string name;
  Axis rows;
};

using Weight = std::unique_ptr<const PackedWeight>;

// A WeightScope that packs what it finds, in whatever format it is stored, and counts it. The backend's rank has a part
// of the model: every tensor is read by axes, which are the rules of what of it this rank keeps (sharding.h). The first
// error stays in the scope; after it, answers are empty. Thread: the loading one.
class WeightLoader {
 public:
  WeightLoader(const Checkpoint& checkpoint, Backend& backend, const LoadProgress& progress);

  WeightLoader Child(std::string_view name) const;
  bool Has(std::string_view name) const { return scope_.Has(name); }
  RankPlace place() const { return backend_->communicator().place(); }
  // Columns of the matrix `name` that stay together.
  int64_t ColumnGrain(std::string_view name) const { return braid::ColumnGrain(scope_, tally_->quantization, name); }
  // Keeps "PATH: `what`" as the error unless there is one.
  void Fail(const std::string& what) const;

  // Matrices [rows, cols] stacked in order into one packed weight.
  Weight Stack(const std::vector<RowsOf>& matrices, const Axis& cols) const;
  Weight Matrix(std::string_view name, const Axis& rows, const Axis& cols) const;
  // Two matrices [rows, cols] laid side by side for Epilogue::kSiluGate.
  Weight GateUp(std::string_view gate, std::string_view up, const Axis& rows, const Axis& cols) const;

  // Matrix `expert` of the `experts` [rows, cols] that lie stacked under `name` (stored_matrix.h).
  Weight Expert(std::string_view name, int64_t expert, int64_t experts, const Axis& rows, const Axis& cols) const;
  // Such matrices of gates and of ups laid side by side.
  Weight ExpertGateUp(std::string_view gate, std::string_view up, int64_t expert, int64_t experts, const Axis& rows,
                      const Axis& cols) const;

  // Gates [rows, cols] that lie before ups in one matrix, laid side by side; and of matrix `expert` of `experts`.
  Weight GateUpStack(std::string_view name, const Axis& rows, const Axis& cols) const;
  Weight ExpertGateUpStack(std::string_view name, int64_t expert, int64_t experts, const Axis& rows,
                           const Axis& cols) const;

  // As Expert, but a tensor of plain floats lies turned: [experts, cols, rows].
  Weight TurnedExpert(std::string_view name, int64_t expert, int64_t experts, const Axis& rows, const Axis& cols) const;
  // As TurnedExpert, of gates [rows, cols] and ups that alternate row by row; packed side by side.
  Weight TurnedExpertGateUp(std::string_view name, int64_t expert, int64_t experts, const Axis& rows,
                            const Axis& cols) const;

  // A tensor as f32, whatever its float type; finite.
  std::vector<float> Floats(std::string_view name, const std::vector<Axis>& axes) const;
  // Vectors one behind the other.
  std::vector<float> FloatStack(const std::vector<RowsOf>& vectors) const;
  // Values where the backend's operations read them.
  Parameter Keep(const std::vector<float>& values) const;
  // Both at once: a tensor as it is stored.
  Parameter KeepFloats(std::string_view name, const std::vector<Axis>& axes) const { return Keep(Floats(name, axes)); }
  // What is added to a sum over ranks: the first one has it, the others nothing.
  Parameter KeepOnFirst(std::string_view name, const std::vector<Axis>& axes) const;
  // The factor of each column of an activation, whose runs are given; empty when all are 1.
  struct Run {
    int64_t columns;
    float factor;
  };
  Parameter KeepFactors(std::initializer_list<Run> runs) const;

  int64_t packed_bytes() const { return tally_->packed; }
  absl::Status status() const { return scope_.status(); }

 private:
  struct Tally {
    int64_t read = 0, total = 0, packed = 0;
    Quantization quantization;
    LoadProgress progress;
  };
  // What of a stored matrix is to be packed, and what it is of.
  struct Piece {
    OwnedMatrix matrix;
    StoredMatrix stored;
  };

  WeightLoader(WeightScope scope, Backend* backend, std::shared_ptr<Tally> tally)
      : scope_(std::move(scope)), backend_(backend), tally_(std::move(tally)) {}
  Piece CutPiece(StoredMatrix stored, const Axis& rows, const Axis& cols, std::string_view name) const;
  Piece MatrixPiece(std::string_view name, const Axis& rows, const Axis& cols) const;
  Piece ExpertPiece(std::string_view name, int64_t expert, int64_t experts, const Axis& rows, const Axis& cols) const;
  // Of a matrix that lies turned when it is of plain floats.
  Piece TurnedPiece(std::string_view name, int64_t expert, int64_t experts, const Axis& rows, const Axis& cols) const;
  Weight PackPieces(const std::vector<Piece>& pieces, bool gate_up_pair, const std::string& names) const;
  Weight PackOne(Piece piece, const std::string& name) const;
  Weight PackPair(Piece gate, Piece up, const std::string& names, bool in_one) const;
  // The matrix in `made`, or none and its error kept.
  OwnedMatrix Made(absl::StatusOr<OwnedMatrix> made, std::string_view name) const;
  void FailAt(std::string_view name, const absl::Status& why) const;
  void Count(const StoredTensor& tensor) const;

  WeightScope scope_;
  Backend* backend_;
  std::shared_ptr<Tally> tally_;  // shared by all children of one load
};

}  // namespace braid
