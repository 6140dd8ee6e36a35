package runtimetext_test

import (
	"reflect"
	"runtime"
	"testing"

	"crashmonitor/internal/runtimetext"
)

func TestRangeHoldsGoCode(t *testing.T) {
	begin, end := runtimetext.Range()
	for _, function := range []any{TestRangeHoldsGoCode, runtimetext.Range, runtime.GC, reflect.ValueOf} {
		if pc := reflect.ValueOf(function).Pointer(); pc < begin || pc >= end {
			t.Errorf("%s at %#x is not in %#x-%#x", runtime.FuncForPC(pc).Name(), pc, begin, end)
		}
	}
}

func TestRangeHoldsNoData(t *testing.T) {
	begin, end := runtimetext.Range()
	variable := reflect.ValueOf(&data).Pointer()
	if variable >= begin && variable < end {
		t.Errorf("a variable at %#x is in %#x-%#x", variable, begin, end)
	}
}

var data = 1
