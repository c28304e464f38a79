#include "kernels/embedding/embedding.h"

#include "kernels/testing/op_test.h"

namespace braid {
namespace {

using testing::ForEachIsa;
using testing::MakeCpu;
using testing::Matrix;
using testing::PackOrDie;
using testing::RunWalk;
using testing::SameBits;
using testing::StoredWeight;

Matrix Embed(Backend& backend, const WeightSource& source, const std::vector<int32_t>& ids) {
  const auto table = PackOrDie(backend, source);
  Matrix y(static_cast<int64_t>(ids.size()), table->cols(), 3);
  RunWalk(backend, [&](Ops& ops) { ops.Embedding({ids, table.get(), y.view()}); });
  EXPECT_TRUE(y.gaps_intact());
  return y;
}

// On CUDA scales are multiplied in another order: rows agree to a few roundings of their largest number.
void ExpectNearOnCuda(const WeightSource& source, const std::vector<int32_t>& ids, const Matrix& wanted) {
  if (testing::Cuda() == nullptr) return;
  SCOPED_TRACE("cuda");
  const Matrix got = Embed(*testing::Cuda(), source, ids);
  for (int64_t t = 0; t < got.rows(); ++t) {
    float largest = 0;
    for (int64_t j = 0; j < got.cols(); ++j) largest = std::max(largest, std::abs(wanted.at(t, j)));
    for (int64_t j = 0; j < got.cols(); ++j) ASSERT_NEAR(got.at(t, j), wanted.at(t, j), 0x1p-21f * largest) << t << " " << j;
  }
}

TEST(Embedding, EqualsRefInEveryFormat) {
  const std::vector<int32_t> ids = {0, 36, 15, 16, 17, 31, 32, 36, 0};
  for (DType dtype : testing::kWeightFormats) {
    SCOPED_TRACE(DTypeName(dtype));
    const StoredWeight table(dtype, 37, testing::ColsFor(dtype, 80), 1);
    const Matrix wanted = Embed(*MakeRefBackend(), {.parts = {table.part()}}, ids);
    ForEachIsa([&](const std::string& isa) {
      for (int threads : {1, 3}) {
        EXPECT_TRUE(SameBits(Embed(*MakeCpu(isa, threads), {.parts = {table.part()}}, ids), wanted));
      }
    });
    ExpectNearOnCuda({.parts = {table.part()}}, ids, wanted);
  }
}

// Parts of a table give each row once and zeros elsewhere.
TEST(Embedding, APartOfATableHasZerosForTheRowsOfOthers) {
  const std::vector<int32_t> ids = {0, 36, 15, 16};
  const StoredWeight part(DType::kF32, 16, 20, 1);  // rows 15..30
  const auto embed = [&](Backend& backend) {
    const auto packed = PackOrDie(backend, {.parts = {part.part()}});
    Matrix y(4, 20, 3);
    RunWalk(backend, [&](Ops& ops) { ops.Embedding({.ids = ids, .table = packed.get(), .y = y.view(), .first_id = 15}); });
    return y;
  };
  const Matrix rows = Embed(*MakeRefBackend(), {.parts = {part.part()}}, {0, 0, 0, 1});
  const auto check = [&](const Matrix& got) {
    for (int64_t t = 0; t < 4; ++t) {
      for (int64_t j = 0; j < 20; ++j) EXPECT_EQ(got.at(t, j), t < 2 ? 0.0f : rows.at(t, j)) << t << " " << j;
    }
  };
  check(embed(*MakeRefBackend()));
  ForEachIsa([&](const std::string& isa) { check(embed(*MakeCpu(isa, 2))); });
}

TEST(Embedding, EqualsRefInEveryScaleBlockOfFp8) {
  const std::vector<int32_t> ids = {0, 36, 15, 16};
  for (const testing::ScaleBlock& block : {testing::ScaleBlock{0, 0}, {1, 600}, {7, 32}, {16, 128}, {9, 512}}) {
    const StoredWeight table(DType::kF8E4M3, 37, 600, 1, block);
    const Matrix wanted = Embed(*MakeRefBackend(), {.parts = {table.part()}}, ids);
    ForEachIsa([&](const std::string& isa) {
      EXPECT_TRUE(SameBits(Embed(*MakeCpu(isa, 2), {.parts = {table.part()}}, ids), wanted)) << block.cols;
    });
    ExpectNearOnCuda({.parts = {table.part()}}, ids, wanted);
  }
}

TEST(Embedding, FindsRowsInTablesOfSeveralParts) {
  const StoredWeight a(DType::kQ4_0, 5, 64, 1), b(DType::kF16, 18, 64, 2);
  const WeightSource source{.parts = {a.part(), b.part()}};
  const std::vector<int32_t> ids = {4, 5, 22, 0};
  const Matrix wanted = Embed(*MakeRefBackend(), source, ids);
  ForEachIsa([&](const std::string& isa) { EXPECT_TRUE(SameBits(Embed(*MakeCpu(isa, 2), source, ids), wanted)); });
  ExpectNearOnCuda(source, ids, wanted);
}

TEST(Embedding, NoTokensWriteNothing) {
  const StoredWeight table(DType::kF32, 3, 7, 1);
  ForEachIsa([&](const std::string& isa) { Embed(*MakeCpu(isa, 2), {.parts = {table.part()}}, {}); });
}

TEST(GatherRows, TakesRowsInOrder) {
  Matrix x = Matrix::Random(6, 33, 1, 2);
  const std::vector<int32_t> rows = {5, 0, 0, 3};
  std::vector<std::unique_ptr<Backend>> backends;
  backends.push_back(MakeRefBackend());
  ForEachIsa([&](const std::string& isa) { backends.push_back(MakeCpu(isa, 3)); });
  for (const auto& backend : backends) {
    Matrix y(4, 33, 1);
    RunWalk(*backend, [&](Ops& ops) { ops.GatherRows(x.view(), rows, y.view()); });
    EXPECT_TRUE(y.gaps_intact());
    for (int64_t i = 0; i < 4; ++i) EXPECT_TRUE(SameBits(y.row(i), x.row(rows[i]), 33));
  }
}

}  // namespace
}  // namespace braid
